"""The command in a fork of the test, which has loaded already what it needs."""

import contextlib
import os
import sys
from typing import TextIO

from app.cli import main


def start(*arguments: object, stderr: int) -> tuple[int, TextIO]:
    """Process id and standard output of the command, whose screen cannot show every name."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.dup2(theirs, 1)
            os.dup2(stderr, 2)
            os.close(ours)
            sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="latin-1"), os.fdopen(2, "w")
            sys.argv = ["sssm", *map(str, arguments)]
            main()
        except SystemExit as leaving:
            os._exit(int(leaving.code or 0))
        finally:
            os._exit(99)
    os.close(theirs)
    return process, open(ours)


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
