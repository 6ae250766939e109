"""Progress of a long run: a bar with its ETA in a terminal, a line now and then elsewhere."""

import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from training.console import tell


class Progress:
    """Steps of a run.

    Args:
        first: step where it goes on.
        steps: where it ends.
        visible: of the processes that train together one shows it.
    """

    def __init__(self, first: int, steps: int, *, visible: bool):
        self._first, self._steps, self._start = first, steps, time.monotonic()
        self._console = Console(stderr=True)
        columns = (
            BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )  # fmt: skip
        shown = visible and self._console.is_terminal
        self._bar = Bar(*columns, console=self._console) if shown else None
        self._task = self._bar.add_task("", total=steps, completed=first) if self._bar else None

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int) -> None:
        """Where the run is, where a bar shows it."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=step)

    def show(self, step: int, values: dict[str, float]) -> None:
        """Where the run is, and its latest numbers."""
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=step, description=numbers)
            return
        pace = (time.monotonic() - self._start) / (step - self._first)
        left = timedelta(seconds=round(pace * (self._steps - step)))
        tell(f"{step}/{self._steps}  {pace:.2f} s a step, {left} left  {numbers}")

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, highlight=False)
