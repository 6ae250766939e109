"""The command in a fork of the test, which has loaded already what it needs."""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

import torch

from app.cli import main


def start(*arguments: object, stderr: int) -> tuple[int, TextIO]:
    """Process id and standard output of the command, whose screen cannot show every name."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(ours)
        become(["sssm", *arguments], theirs, stderr, encoding="latin-1")
    os.close(theirs)
    return process, open(ours)


def become(
    line: Sequence[object], stdout: int, stderr: int, encoding: str | None = None
) -> NoReturn:
    """In a fork: run this command with these descriptors as its outputs, and end with its code."""
    try:
        torch.set_num_threads(1)  # a fork waits for ever for the threads that it was made without
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding=encoding), os.fdopen(2, "w")
        sys.argv = [str(part) for part in line]
        main()
    except SystemExit as leaving:
        os._exit(int(leaving.code or 0))
    finally:
        os._exit(99)


def exit_code(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def all_of(screen: int) -> str:
    """What programs write to the terminal whose other side this descriptor is, until all end."""
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while data := os.read(screen, 65_536):
            shown += data
    os.close(screen)
    return shown.decode()
