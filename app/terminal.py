"""What goes to the screen: answers to standard output, everything else to standard error."""

import errno
import os
import sys
from collections.abc import Iterable
from typing import NoReturn, TextIO

import typer

from sssm.reason import reader_has_left

INPUT_FAILED = 1
WRONG_USAGE = 2


def say(line: str) -> None:
    """One line of the answer, at once, so that a reader behind a pipe need not wait.

    Raises:
        BrokenPipeError: there is no reader any more, on whatever system.
        OSError: standard output takes no more.
    """
    if sys.stdout is not None:
        try:
            # Not by `typer.echo`, which goes past what `rich` puts in the place of standard output.
            print(line, flush=True)
        except OSError as error:
            if reader_has_left(error):
                raise BrokenPipeError(errno.EPIPE, "Broken pipe") from None
            raise


def bold(text: str) -> str:
    """Text of the answer that stands out where somebody may be looking."""
    is_dumb = os.environ.get("TERM") in ("dumb", "unknown")
    is_plain = is_dumb or os.environ.get("NO_COLOR") or not is_screen(sys.stdout)
    return text if is_plain or _shows_codes_as_they_are() else typer.style(text, bold=True)


def tell(line: str) -> None:
    """One line that is no part of the answer: a note, or what went wrong.

    Where it cannot be written, the disk full or its reader gone, the answer goes on without it.
    """
    if sys.stderr is not None:
        try:
            print(shown(line), file=sys.stderr, flush=True)
        except OSError:
            _forget(sys.stderr.fileno())


def refuse(line: str) -> NoReturn:
    """End a command that was called wrongly.

    Raises:
        typer.Exit: when the line has been told.
    """
    tell(line)
    raise typer.Exit(WRONG_USAGE) from None


def fail(line: str) -> NoReturn:
    """End a command whose input or work failed.

    Raises:
        typer.Exit: when the line has been told.
    """
    tell(line)
    raise typer.Exit(INPUT_FAILED) from None


def is_screen(stream: TextIO | None) -> bool:
    """Whether somebody may be looking; a program may run without any such stream."""
    return stream is not None and stream.isatty()


def forget_output() -> None:
    """Let standard output go nowhere from now on, what is still buffered for it too."""
    _forget(sys.__stdout__.fileno() if sys.__stdout__ else 1)


def shown(text: str) -> str:
    """Text on one line: a file's name may hold line breaks, terminal codes or broken UTF-8."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, thing: str) -> str:
    """A number of things: "1 event", "2 events"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    """Cells padded to their widths, two spaces between them."""
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _shows_codes_as_they_are() -> bool:
    """Whether this is a console of Windows that nobody has told to heed them."""
    if os.name != "nt":
        return False
    from rich.console import detect_legacy_windows

    return detect_legacy_windows()


def _forget(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
