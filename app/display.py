"""What a listener shows: lines, and on a terminal a level meter and a bar a keyword below them.

Events go to standard output; everything else to standard error.  Where both are one terminal, the
lines scroll above the meter.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from app.terminal import is_screen, say, shown, tell

FRAME_S = 0.08
LOWEST_DB = -60.0
BAR_CELLS, FEWEST_CELLS = 40, 4
BESIDE_BAR = 11  # cells of a line that hold neither name nor bar
MOST_BARS = 20
LOUD_DB, CLIPPING_DB = -12.0, -1.0
FALL, FALL_DB = 0.85, 3.0  # of a bar and of the level a picture, so that a peak can be seen


class Reading(NamedTuple):
    """What the picture is made of."""

    heading: str
    level_db: float
    scores: Sequence[tuple[str, float, float]]  # keyword, score, threshold


class Lines:
    """No picture: an event is a line on standard output, a note one on standard error."""

    wants_readings = False
    relay: Callable[[Sequence[str]], None] | None = None
    """Where other programs' lines go; None where they may write to standard error themselves."""

    def event(self, line: str) -> None:
        say(line)

    def note(self, line: str) -> None:
        tell(line)

    def show(self, reading: Reading) -> None:
        """Nothing: there is nowhere to draw."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing was opened."""


class Picture(Lines):
    """The same lines, and below them a picture that is drawn anew some times a second."""

    def __init__(self, console: Console):
        self._console = console
        # Drawn when `show` says so: a thread of its own would take turns with the model.
        self._live = Live(
            console=console, auto_refresh=False, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._drawn_s = -math.inf
        self._level_db = LOWEST_DB
        self._peaks: dict[str, float] = {}
        self._cells = BAR_CELLS

    @property
    def wants_readings(self) -> bool:  # type: ignore[override]
        """Whether it is time for a new one."""
        return time.monotonic() - self._drawn_s >= FRAME_S

    def event(self, line: str) -> None:
        if is_screen(sys.stdout):
            self._print(shown(line), "bold")
        else:
            say(line)

    def note(self, line: str) -> None:
        self._print(shown(line), "yellow")

    def relay(self, lines: Sequence[str]) -> None:
        self._print("\n".join(map(shown, lines)), "")  # one picture below all of them

    def show(self, reading: Reading) -> None:
        self._drawn_s = time.monotonic()
        self._level_db = max(reading.level_db, self._level_db - FALL_DB, LOWEST_DB)
        for keyword, score, _ in reading.scores:
            self._peaks[keyword] = max(score, FALL * self._peaks.get(keyword, 0.0))
        # With many keywords, those that are nearest to being heard.
        most = max(1, min(MOST_BARS, self._console.height - 3))
        near = sorted(reading.scores, key=lambda row: -self._peaks[row[0]])[:most]
        width = max(len(name) for name in ["level", *(keyword for keyword, _, _ in near)])
        self._cells = max(FEWEST_CELLS, min(BAR_CELLS, self._console.width - width - BESIDE_BAR))
        lines = [Text(shown(reading.heading), "dim"), self._level(width)]
        lines += [self._bar(*row, width=width) for row in reading.scores if row in near]
        # A line that wrapped would push the others off the screen, picture by picture.
        picture = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
        self._live.update(picture, refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def _print(self, lines: str, style: str) -> None:
        self._console.print(Text(lines, style), soft_wrap=True)

    def _level(self, width: int) -> Text:
        db = self._level_db
        style = "red" if db > CLIPPING_DB else "yellow" if db > LOUD_DB else "green"
        filled = round(self._cells * min(1.0, max(0.0, 1 - db / LOWEST_DB)))
        bar = Text.assemble(("━" * filled, style), ("╌" * (self._cells - filled), "dim"))
        return Text.assemble("level".ljust(width), "  ", bar, f"  {db:4.0f} dB")

    def _bar(self, keyword: str, score: float, threshold: float, *, width: int) -> Text:
        """Score as a bar, with a mark where the threshold is."""
        peak = self._peaks[keyword]
        filled = round(self._cells * peak)
        mark = min(self._cells - 1, int(self._cells * threshold))
        heard = peak >= threshold
        cells = Text.assemble(
            ("━" * filled, "bold green" if heard else "blue"),
            ("╌" * (self._cells - filled), "dim"),
        )
        limit = ("┃", "bold green" if heard else "red")
        name = (shown(keyword).ljust(width), "bold" if heard else "")
        return Text.assemble(name, "  ", cells[:mark], limit, cells[mark + 1 :], f"  {score:.2f}")


def display(*, as_json: bool) -> Lines:
    """A picture on a terminal that can show one, else lines."""
    console = Console(stderr=True, highlight=False)
    is_plain = console.is_dumb_terminal or console.options.ascii_only
    can_draw = console.is_terminal and not is_plain
    # JSON that goes to the same terminal must come out as it is, not wrapped around a picture.
    return Picture(console) if can_draw and not (as_json and is_screen(sys.stdout)) else Lines()
