"""How far a scan is, in seconds of audio, with a bar where a terminal shows it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.events import Heard, read_header
from app.terminal import is_screen

if TYPE_CHECKING:
    from rich.progress import Progress


class ScanProgress:
    """Counts the seconds heard of many recordings, several at a time."""

    def __init__(self) -> None:
        self.heard_s = 0.0
        self._heard_of: dict[int, float] = {}  # of those that have not ended

    def put(self, number: int, message: object) -> None:
        """Any message of the recording with this number; None ends it."""
        if isinstance(message, Heard):
            self.heard_s += message.heard_s - self._heard_of.get(number, 0.0)
            self._heard_of[number] = message.heard_s
        elif message is None:
            self.end(number, self._heard_of.pop(number, 0.0))

    def end(self, number: int, heard_s: float) -> None:
        """The recording had this length."""


class _Bar(ScanProgress):
    def __init__(self, files: list[str], bar: "Progress"):
        super().__init__()
        self._bar = bar
        self._lengths = [read_header(path).length_s for path in files]
        self._total_s = sum(self._lengths)
        self._task = bar.add_task("heard", total=self._total_s)

    def put(self, number: int, message: object) -> None:
        super().put(number, message)
        self._bar.update(self._task, completed=self.heard_s, total=max(self._total_s, self.heard_s))

    def end(self, number: int, heard_s: float) -> None:
        """What a header promised may not have been there, or more."""
        self._total_s += heard_s - self._lengths[number]


@contextmanager
def progress_of(files: list[str]) -> Iterator[ScanProgress]:
    """A bar on standard error, if that is a terminal, with the time that is left."""
    if not is_screen(sys.stderr):
        yield ScanProgress()
        return
    from rich import progress
    from rich.console import Console

    columns = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} s"),
        progress.TimeRemainingColumn(),
    ]
    with progress.Progress(
        *columns,
        console=Console(stderr=True, soft_wrap=True),  # a line of JSON stays one
        transient=True,
        redirect_stdout=is_screen(sys.stdout),  # events go above the bar, but never from a pipe
    ) as bar:
        yield _Bar(files, bar)
