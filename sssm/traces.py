"""What must be kept of scores so that a detector with any higher threshold can hear them again.

Below the release threshold a keyword's state in the detector is always the same, so only smoothed
scores above the lowest release threshold are kept: some hundred kilobytes an hour of quiet, some
megabytes an hour of speech.  The detector itself then runs over the places where something may
fire, many of them side by side; its answer is the one that it would have given live.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sssm.detector import Detector
from sssm.timing import FRAMES_HZ

MOST_ROW_FRAMES = 1 << 18  # that the detector runs over side by side


class Fired(NamedTuple):
    """A keyword was heard in a recording."""

    recording: int  # in the order in which they were begun
    frame: int  # that fired, counted from 1: it ends at frame / 100 seconds
    keyword: str


class Table(NamedTuple):
    """Kept scores in the order of time, one recording after the other."""

    recording: NDArray[np.int64]
    frame: NDArray[np.int64]  # from 1
    keyword: NDArray[np.int64]  # number of the keyword
    smoothed: NDArray[np.float64]


class Traces:
    """Kept scores of recordings.

    Args:
        detector: its settings are those of every detection asked for later, but for thresholds.
        lowest: the least threshold that will be asked for.

    Raises:
        ValueError: `lowest` is not in (0, 1].
    """

    def __init__(self, detector: Detector, lowest: float):
        alike = dict.fromkeys(detector.keywords, lowest)
        self.detector = dataclasses.replace(detector, thresholds=alike)
        self.keywords = detector.keywords
        self.lowest = lowest
        self.frames: list[int] = []  # of every recording
        self._parts: list[Table] = []
        self._table: Table | None = None

    @property
    def hours(self) -> float:
        """Of all recordings together."""
        return sum(self.frames) / FRAMES_HZ / 3_600

    def begin(self) -> "Trace":
        """A new recording."""
        self.frames.append(0)
        return Trace(self, len(self.frames) - 1)

    def add(self, recording: int, smoothed: NDArray[np.float64]) -> None:
        """The next frames (frames, keywords) of a recording, smoothed."""
        frame, keyword = np.nonzero(smoothed >= self.detector.release * self.lowest)
        numbers = np.full(len(frame), recording)
        first = self.frames[recording] + 1
        self._parts.append(Table(numbers, frame + first, keyword, smoothed[frame, keyword]))
        self.frames[recording] += len(smoothed)
        self._table = None

    def fired(self, thresholds: Mapping[str, float]) -> list[Fired]:
        """Detections of all keywords together, as live.

        Raises:
            ValueError: a threshold is below `lowest`, missing, or for what is no keyword.
        """
        if set(thresholds) != set(self.keywords):
            raise ValueError(f"a threshold for each of {', '.join(self.keywords)} is needed")
        detector = self._listener(self.keywords, thresholds)
        table, starts = self._kept(), self._starts()
        at = starts[table.recording] + table.frame
        events = _run(detector, at, table.keyword, table.smoothed)
        return sorted(self._at(place, keyword, starts) for place, keyword in events)

    def fired_alone(self, threshold: float) -> list[Fired]:
        """Detections of each keyword as if no other could fire, all at one threshold.

        Raises:
            ValueError: the threshold is below `lowest`.
        """
        detector = self._listener(("any",), {"any": threshold})
        table, starts = self._kept(), self._starts()
        at = table.keyword * starts[-1] + starts[table.recording] + table.frame
        order = np.argsort(at, kind="stable")
        events = _run(detector, at[order], np.zeros_like(at), table.smoothed[order])
        placed = ((self.keywords[at // starts[-1]], at % starts[-1]) for at, _ in events)
        return sorted(self._at(place, keyword, starts) for keyword, place in placed)

    def _listener(self, labels: tuple[str, ...], thresholds: Mapping[str, float]) -> Detector:
        """A detector whose samples are frames, so that its times are their numbers."""
        if min(thresholds.values()) < self.lowest:
            raise ValueError(f"no threshold below {self.lowest} can be asked for")
        return dataclasses.replace(
            self.detector, labels=labels, thresholds=thresholds, sample_rate_hz=FRAMES_HZ
        )

    def _kept(self) -> Table:
        if self._table is None:
            table = _joined(self._parts)
            order = np.lexsort((table.frame, table.recording))
            self._table = Table(
                table.recording[order],
                table.frame[order],
                table.keyword[order],
                table.smoothed[order],
            )
            self._parts = [self._table]
        return self._table

    def _starts(self) -> NDArray[np.int64]:
        """(recordings + 1,) places of the recordings one after the other.

        They stand so far apart that nothing of one reaches into the next.
        """
        lengths = np.array(self.frames, np.int64) + self.detector.refractory + 1
        return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def _at(self, place: int, keyword: str, starts: NDArray[np.int64]) -> Fired:
        recording = int(np.searchsorted(starts, place, side="right")) - 1
        return Fired(recording, place - int(starts[recording]), keyword)


class Trace:
    """One recording that is being heard: `Traces.begin` gives it."""

    def __init__(self, traces: Traces, recording: int):
        self._traces, self._recording = traces, recording
        self._state = traces.detector.init_state(1)

    def push(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The next frames: (frames, labels) scores -> (frames, keywords), smoothed."""
        traces = self._traces
        (smoothed,), talk = traces.detector.smooth(scores[None], self._state)
        if len(smoothed):
            self._state = self._state._replace(smoothed=smoothed[None, -1].copy(), talk=talk)
        traces.add(self._recording, smoothed)
        return smoothed


def _joined(parts: Sequence[Table]) -> Table:
    nothing = np.zeros(0, np.int64)
    parts = [Table(nothing, nothing, nothing, np.zeros(0)), *parts]
    return Table(
        np.concatenate([part.recording for part in parts]),
        np.concatenate([part.frame for part in parts]),
        np.concatenate([part.keyword for part in parts]),
        np.concatenate([part.smoothed for part in parts]),
    )


def _run(
    detector: Detector,
    at: NDArray[np.int64],
    column: NDArray[np.int64],
    smoothed: NDArray[np.float64],
) -> list[tuple[int, str]]:
    """Where and what a detector hears in smoothed scores that stand in the order of time."""
    limits = np.array([detector.thresholds[keyword] for keyword in detector.keywords])
    keep = smoothed >= detector.release * limits[column]
    at, column, smoothed = at[keep], column[keep], smoothed[keep]
    if not len(at):
        return []
    # After so long a pause nothing is left of what was before, so what follows is a row of its own.
    pause = max(1, detector.refractory)
    begin = np.flatnonzero(np.diff(at, prepend=at[0] - pause - 1) > pause)
    end = np.append(begin[1:], len(at))
    first, frames = at[begin], at[end - 1] - at[begin] + 1
    rows = np.flatnonzero(np.logical_or.reduceat(smoothed >= limits[column], begin))
    rows = rows[np.argsort(frames[rows], kind="stable")]
    events = []
    while len(rows):
        together = _fitting(frames[rows])
        scores = np.zeros((together, frames[rows[together - 1]], len(limits)))
        for n, row in enumerate(rows[:together].tolist()):
            part = slice(begin[row], end[row])
            scores[n, at[part] - first[row], column[part]] = smoothed[part]
        state = detector.init_state(together)._replace(frame=first[rows[:together]] - 1)
        for _, event in detector.fire(scores, state)[0]:
            events.append((round(event.time_s * FRAMES_HZ), event.keyword))
        rows = rows[together:]
    return events


def _fitting(frames: NDArray[np.int64]) -> int:
    """How many of rows in the order of their length go together: the array is as the longest."""
    most = frames * np.arange(1, len(frames) + 1) <= MOST_ROW_FRAMES
    return max(1, int(most.sum()))
