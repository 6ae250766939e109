"""`sssm classify`: one answer a file."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.answers import answers
from app.recordings import Paths, listed, replaced, width_of
from app.spotting import Model
from app.terminal import (
    INPUT_FAILED,
    aligned,
    bold,
    fail,
    is_screen,
    refuse,
    say,
    shown,
    tell,
)

if TYPE_CHECKING:
    from sssm.classifier import Answer

LONG_S = 2.0
MANY_FILES = 20
SCAN = "`sssm scan` finds words in time"
T = TypeVar("T")


def classify(
    paths: Paths,
    model: Model = "s4",
    top: Annotated[
        int, typer.Option(min=1, metavar="K", help="Labels to print for each file.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, with every score.")
    ] = False,
) -> None:
    """Name the word in each recording."""
    from sssm.live import find_live, members_of
    from sssm.weights import ModelFileError

    try:
        for name in members_of(model):
            find_live(name)
        files, unlisted = listed(paths)
        for failure in unlisted:
            tell(failure)
        failures = len(unlisted)
        if files:
            failures += _classify_all(files, model, top=top, as_json=as_json)
    except ModelFileError as error:
        refuse(str(error))
    except BrokenExecutor:
        fail("a process that answered files has died: out of memory?")
    if failures:
        raise typer.Exit(INPUT_FAILED)


def _classify_all(files: list[str], model: str, *, top: int, as_json: bool) -> int:
    """Print an answer for each file; returns how many had none."""
    from sssm.audio import AudioError

    width = width_of(files)
    failures = 0
    long_file_seen = False
    with closing(answers(model, files)) as rows:
        for path, answer in _with_progress(rows, len(files)):
            if isinstance(answer, AudioError):
                tell(str(answer))
                failures += 1
                continue
            say(_json_row(path, answer) if as_json else _row(path, answer, width=width, top=top))
            if answer.replaced_samples:
                tell(replaced(path, answer.replaced_samples))
            if answer.duration_s > LONG_S and not long_file_seen:
                long_file_seen = True
                tell(f"{path}: {answer.duration_s:.1f} s, and still one answer; {SCAN}")
    return failures


def _json_row(path: str, answer: "Answer") -> str:
    return json.dumps(
        {
            "path": path,
            "label": answer.label,
            "score": answer.score,
            "scores": answer.scores,
            "duration_s": answer.duration_s,
            "sample_rate_hz": answer.sample_rate_hz,
        }
    )


def _row(path: str, answer: "Answer", *, width: int, top: int) -> str:
    ranked = sorted(answer.scores.items(), key=lambda item: -item[1])[:top]
    label_width = max(len(shown(label)) for label in answer.scores)
    cells = [f"{shown(label).ljust(label_width)} {score:.3f}" for label, score in ranked]
    cells[0] = bold(cells[0])
    return aligned([shown(path), *cells], [width, *(0 for _ in cells)])


def _with_progress(rows: Iterator[T], total: int) -> Iterator[T]:
    """The rows, with a bar where nothing else on the screen tells how far it is."""
    if total < MANY_FILES or is_screen(sys.stdout) or not is_screen(sys.stderr):
        yield from rows
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=False) as progress:
        yield from progress.track(rows, total, description="classify")
