"""Rows of audio at one rate, each with its own state, heard by one model: what streams are made of.

Samples wait until their frame of 10 ms is complete, so that every state stands at the end of a
frame.  Rows that wait with equally many samples, at the same place of the pattern in which frames
take turns to be one sample longer, go through the engine together.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sssm.audio import Samples
from sssm.detector import Detection, Detector, DetectorState
from sssm.engines.engine import Engine, Scores, State
from sssm.timing import FRAMES_HZ, frame_end, frames_within

# Of one run of the engine: so that memory has a bound, and so that what passes between two
# operations stays in the caches.
MOST_ROWS = 64
MOST_ROW_FRAMES = 64


class Scored(NamedTuple):
    """Some rows, and the scores (rows, frames, labels) of the frames that they completed."""

    rows: NDArray[np.int64]
    scores: Scores


class Rows:
    """Scores and detections of many rows of audio at the detector's rate.

    Args:
        engine: at this rate.
        detector: of the same labels.
        size: number of rows.
    """

    def __init__(self, engine: Engine, detector: Detector, size: int):
        self.engine, self.detector = engine, detector
        self.rate = detector.sample_rate_hz
        self.pattern = FRAMES_HZ // math.gcd(self.rate, FRAMES_HZ)  # frames until it repeats
        labels = len(detector.labels)
        self.frames = np.zeros(size, np.int64)  # completed
        self.waiting = np.zeros((size, -(-self.rate // FRAMES_HZ)), np.float32)
        self.waits = np.zeros(size, np.int64)  # samples of `waiting` that are in use
        self.latest = np.full((size, labels), 1 / labels, np.float32)
        self.state = engine.init_state(size)
        self._spare = engine.init_state(1) if size == 1 else None  # takes turns with the state
        self.detector_state = detector.init_state(size)

    def push(
        self, x: Samples, rows: NDArray[np.int64]
    ) -> tuple[list[Scored], list[tuple[int, Detection]]]:
        """Hear more of some rows; the others stay as they are.

        Args:
            x: (len(rows), n) samples.
            rows: their numbers, rising.

        Returns:
            Scores of each group of rows that went together, and detections with their rows.
        """
        heard, events = [], []
        for group in self._groups(rows):
            of_group = rows[group]
            scores = self._push_group(x[group], of_group)
            heard.append(Scored(of_group, scores))
            if scores.shape[1]:
                events += self._detect(scores, of_group)
        return heard, events

    def export(self, row: int) -> list[NDArray[Any]]:
        """Everything that one row remembers, as arrays."""
        rows = np.array([row])
        numbers = [self.frames[rows], self.waiting[row, : self.waits[row]], self.latest[row]]
        parts = [part[rows] for part in self.state]
        return [*numbers, *parts, *(part[rows] for part in self.detector_state)]

    def restore(self, row: int, arrays: list[NDArray[Any]]) -> None:
        """Make a row what `export` gave.

        Raises:
            ValueError: the arrays are not those of such a row; nothing was changed.
        """
        expected = Rows(self.engine, self.detector, 1).export(0)
        if len(arrays) > 1:  # so many samples may wait, as far as there is room
            expected[1] = self.waiting[0, : arrays[1].size]
        if [(a.dtype, a.shape) for a in arrays] != [(a.dtype, a.shape) for a in expected]:
            raise ValueError("a snapshot of another engine, or of another shape of model")
        rows, parts, waiting = np.array([row]), len(self.state), arrays[1]
        self.frames[row], self.waits[row], self.latest[row] = arrays[0][0], len(waiting), arrays[2]
        self.waiting[row, : len(waiting)] = waiting
        _put(self.state, rows, tuple(arrays[3 : 3 + parts]))
        _put(self.detector_state, rows, DetectorState(*arrays[3 + parts :]))

    def _groups(self, rows: NDArray[np.int64]) -> list[Any]:
        """Indices into `rows` of those that go together."""
        if len(rows) == 1:
            return [slice(None)]
        keys = self.waits[rows] * self.pattern + self.frames[rows] % self.pattern
        groups: list[Any] = []
        for key in np.unique(keys):
            group = np.flatnonzero(keys == key)
            groups += [group[at : at + MOST_ROWS] for at in range(0, len(group), MOST_ROWS)]
        return groups

    def _push_group(self, x: Samples, rows: NDArray[np.int64]) -> Scores:
        """Rows that wait alike: (len(rows), frames, labels), frames 0 or more."""
        at, first = _index(rows), int(rows[0])
        waits, done = int(self.waits[first]), int(self.frames[first])
        place = done % self.pattern
        total, start = waits + x.shape[1], self._end(place)
        frames = frames_within(start + total, self.rate) - place
        if frames == 0:
            self.waiting[at, waits:total] = x
            self.waits[at] = total
            return np.zeros((len(rows), 0, self.latest.shape[1]), np.float32)
        if waits:  # a push of whole frames copies nothing
            x = np.concatenate([self.waiting[at, :waits], x], axis=1)
        end = self._end(place + frames) - start
        scores = self._hear(x[:, :end], place, frames, rows)
        if waits or total > end:
            self.waiting[at, : total - end] = x[:, end:]
            self.waits[at] = total - end
        if len(rows) == 1:  # live: an operation on arrays costs a tenth of all that is done here
            self.frames[first] = done + frames
        else:
            self.frames[at] += frames
        self.latest[at] = scores[:, -1]
        return scores

    def _hear(self, x: Samples, place: int, frames: int, rows: NDArray[np.int64]) -> Scores:
        """Run the engine over whole frames, some at a time; `place` is that of the first."""
        are_all = len(rows) == len(self.frames)
        before = state = self.state if are_all else _pick(self.state, rows)
        most = MOST_ROW_FRAMES // len(rows)
        spare = self._spare if frames <= most else None  # a push that fails leaves all as it was
        pieces, first = [], self._end(place)
        for done in range(0, frames, most):
            start = self._end(place + done)
            end = self._end(place + min(frames, done + most))
            piece = np.ascontiguousarray(x[:, start - first : end - first])
            scores, _, state = self.engine.run(piece, start, state, spare)
            pieces.append(scores)
        if are_all:
            self.state = state
        else:
            _put(self.state, rows, state)
        if spare is not None:
            self._spare = before
        return np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0]

    def _detect(self, scores: Scores, rows: NDArray[np.int64]) -> list[tuple[int, Detection]]:
        if len(rows) == len(self.frames):
            events, self.detector_state = self.detector.run(scores, self.detector_state)
        else:
            before = DetectorState(*_pick(self.detector_state, rows))
            events, state = self.detector.run(scores, before)
            _put(self.detector_state, rows, state)
        return [(int(rows[row]), event) for row, event in events]

    def _end(self, frame: int) -> int:
        return frame_end(frame, self.rate)


def _index(rows: NDArray[np.int64]) -> Any:
    """For rising rows: a slice where they stand side by side, which costs no copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def _pick(state: State, rows: NDArray[np.int64]) -> State:
    index = _index(rows)
    return tuple(part[index] for part in state)


def _put(state: State, rows: NDArray[np.int64], of_rows: State) -> None:
    """Write some rows over those of a state, which is this file's own."""
    index = _index(rows)
    for part, new in zip(state, of_rows, strict=True):
        part[index] = new
