"""What goes to the screen: the answer to standard output, everything else to standard error."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TypeVar

import typer

from sssm.interrupt import CTRL_C
from sssm.reason import reader_has_left, reason_of
from sssm.weights import ModelFileError

INPUT_FAILED, WRONG_USAGE = 1, 2  # exit codes

T = TypeVar("T")


def say(line: str) -> None:
    """A line of the answer."""
    with answering():
        if isinstance(sys.stdout, TextIOWrapper):  # not every screen can show every word
            sys.stdout.reconfigure(errors="backslashreplace")
        print(line, flush=True)


@contextmanager
def answering() -> Iterator[None]:
    """Whatever writes to standard output within, be it nothing: its failure bears that name.

    A reader who leaves is none: he has what he wanted.

    Raises:
        OSError: standard output takes no more.
    """
    try:
        yield
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor may the last flush complain
        if not reader_has_left(error):
            raise OSError(error.errno, error.strerror, "standard output") from None


def tell(line: str) -> None:
    """A line that is no part of the answer: what went wrong, or what there is."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def failures_told() -> Iterator[None]:
    """What fails within is one line and an exit code.

    Raises:
        typer.Exit: 2 for a model that is unknown or damaged, 1 for whatever else failed, 130 for
            Ctrl-C.
    """
    try:
        yield
    except ModelFileError as error:
        tell(str(error))
        raise typer.Exit(WRONG_USAGE) from None
    except OSError as error:
        tell(f"{error.filename}: {reason_of(error)}" if error.filename else reason_of(error))
        raise typer.Exit(INPUT_FAILED) from None
    except ValueError as error:
        tell(str(error))
        raise typer.Exit(INPUT_FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(CTRL_C) from None


def track(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar that says how far it is."""
    from rich import progress
    from rich.console import Console
    from rich.markup import escape

    return progress.track(items, escape(what), console=Console(stderr=True))
