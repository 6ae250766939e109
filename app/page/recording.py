"""One file of a visitor: what was heard, what it looks like, or why it can't be used.

Decided here: how much of a file the page hears, and what it tells of one that it cannot.  What is
heard is what `sssm scan` hears.
"""

import os
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.event_file import Event
from app.events import Heard, events, read_header
from app.page.fold import Fold
from app.page.hearing import Hearing
from app.page.shelf import Shelf
from sssm.audio import AudioError, Samples
from sssm.detector import Detection
from sssm.spotter import KeywordSpotter
from sssm.timing import FRAMES_HZ

CLIP_S = 2.0  # up to here a file is a clip, of which the page also ranks the classes
POINTS = 2_000  # of a curve: no screen shows more
OnHeard = Callable[[float, float], None]


class Recording(NamedTuple):
    """What the page shows of one file."""

    path: str
    name: str
    message: str = ""  # one line, where something is wrong or missing
    duration_s: float = 0.0
    events: tuple[Event, ...] = ()
    ranked: tuple[tuple[str, float], ...] = ()  # label, probability; the most likely first
    peaks: NDArray[np.float32] | None = None  # (points, 2): highest, and minus the lowest, sample
    scores: NDArray[np.float32] | None = None  # (points, keywords), smoothed
    peak_s: float = 0.0  # that a point of peaks stands for
    score_s: float = 0.0
    thresholds: dict[str, float] | None = None


class TooLongError(Exception):
    """The file goes on after what the page hears."""


def heard_recording(
    shelf: Shelf, model: str, sensitivity: float, path: str, most_s: float, on_heard: OnHeard
) -> Recording:
    """Hear a file.

    Args:
        shelf: of models.
        model: its name.
        sensitivity: of the detector.
        path: of the file, whose name the visitor knows.
        most_s: seconds that are heard.
        on_heard: called with the seconds heard and those promised, every few seconds.

    Raises:
        ValueError: no such model, or a sensitivity out of bounds.
    """
    spotter = shelf.spotter(model, sensitivity)
    name = os.path.basename(path)
    header = read_header(path)
    if header.is_longer(most_s):
        return Recording(path, name, f"{_minutes(header.length_s)} long: {_limit(most_s)}")
    found: list[Event] = []
    heard_s, message, sketch = 0.0, "", Sketch(spotter)
    try:
        for event in events(sketch.stream, path):
            if isinstance(event, Heard):
                heard_s = event.heard_s
                if not event.is_after:
                    sketch.draw()
                if heard_s > most_s:
                    raise TooLongError
                on_heard(heard_s, header.length_s)
            else:
                found.append(Event(name, event.keyword, event.start_s, event.time_s, event.score))
    except AudioError as error:
        message = str(error.args[1])
    except TooLongError:
        message = f"heard up to {_minutes(heard_s)}: {_limit(most_s)}"
    if not sketch.hears:
        return Recording(path, name, message)
    ranked = () if message or heard_s > CLIP_S else _ranked(shelf, model, path)
    return Recording(
        path, name, message, heard_s, tuple(found), ranked, sketch.peaks.points,
        sketch.scores.points, sketch.peaks.width / sketch.rate, sketch.scores.width / FRAMES_HZ,
        spotter.thresholds,
    )  # fmt: skip


class Sketch:
    """A stream that draws what it hears: peaks and scores, however long it is."""

    def __init__(self, spotter: KeywordSpotter):
        self._spotter = spotter
        self.hears = False
        self.rate = 0
        self.peaks = Fold(2, POINTS)
        self.scores = Fold(len(spotter.keywords), POINTS)

    def stream(self, sample_rate_hz: int) -> Self:
        """Itself, from now on at this rate."""
        self.rate = sample_rate_hz
        self._hearing = Hearing(self._spotter, sample_rate_hz)
        return self

    def push(self, samples: Samples) -> list[Detection]:
        """Keywords that the next samples complete."""
        heard = self._hearing.push(samples)
        self.hears |= len(samples) > 0
        self._latest = samples, heard.smoothed
        return heard.detections

    def draw(self) -> None:
        """Add what was pushed last to the curves."""
        samples, smoothed = self._latest
        self.peaks.push(np.stack([samples, -samples], axis=1))
        self.scores.push(smoothed)


def _ranked(shelf: Shelf, model: str, path: str) -> tuple[tuple[str, float], ...]:
    scores = shelf.classifier(model).classify(path).scores
    return tuple(sorted(scores.items(), key=lambda item: -item[1]))


def _limit(most_s: float) -> str:
    return f"this page hears {_minutes(most_s)} of a file; `sssm scan` has no limit"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min"
