"""Rows of audio at one rate, each with its own state, heard by one model: the engine of streams.

Samples wait until their frame of 10 ms is complete, so that every state stands at the end of a
frame.  Rows of one forward share the model's counters: rows that wait with equally many samples,
at the same place of the pattern in which frames take turns to be one sample longer, go together.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sssm.audio import Samples
from sssm.detector import FRAMES_HZ, Detection, Detector, DetectorState
from sssm.layers.contract import leaves, with_leaves
from sssm.model import KeywordModel, ModelState

# Of one forward: so that memory has a bound, and so that what passes between two operations stays
# in the caches and is not asked of the operating system anew (measured: three times the cost).
MOST_ROWS = 64
MOST_ROW_FRAMES = 1_024


class Heard(NamedTuple):
    """Some rows, and the scores (rows, frames, labels) of the frames that they completed."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class Rows:
    """Scores and detections of many rows of audio at the detector's rate.

    Args:
        model: frozen, at this rate.
        detector: of the same labels.
        size: number of rows.
    """

    def __init__(self, model: KeywordModel, detector: Detector, size: int):
        self.model, self.detector = model, detector
        self.rate = detector.sample_rate_hz
        self.pattern = FRAMES_HZ // math.gcd(self.rate, FRAMES_HZ)  # frames until it repeats
        labels = len(detector.labels)
        self._first = model.init_state(1)
        self.frames = np.zeros(size, np.int64)  # completed
        self.waiting = np.zeros((size, -(-self.rate // FRAMES_HZ)), np.float32)
        self.waits = np.zeros(size, np.int64)  # samples of `waiting` that are in use
        self.latest = np.full((size, labels), 1 / labels, np.float32)
        self.state = self._parts(model.init_state(size))
        self.detector_state = detector.init_state(size)

    def push(
        self, x: Samples, rows: NDArray[np.int64]
    ) -> tuple[list[Heard], list[tuple[int, Detection]]]:
        """(len(rows), n) samples for these rows, all different; the others stay as they are."""
        heard, events = [], []
        for group in self._groups(rows):
            of_group = rows[group]
            scores = self._push_group(x[group], of_group)
            heard.append(Heard(of_group, scores))
            if scores.shape[1]:
                events += self._detect(scores, of_group)
        return heard, events

    def export(self, row: int) -> list[NDArray[Any]]:
        """Everything that one row remembers, as arrays."""
        rows = np.array([row])
        numbers = [self.frames[rows], self.waiting[row, : self.waits[row]], self.latest[row]]
        parts = [leaf.numpy().copy() for leaf in _pick(self.state, rows)]
        return [*numbers, *parts, *(part[rows] for part in self.detector_state)]

    def restore(self, row: int, arrays: list[NDArray[Any]]) -> None:
        """Make a row what `export` gave.

        Raises:
            ValueError: the arrays are not those of such a row; nothing was changed.
        """
        expected = Rows(self.model, self.detector, 1).export(0)
        waiting = arrays[1] if len(arrays) > 1 else np.zeros(0)
        fits = len(arrays) == len(expected) and waiting.ndim == 1
        fits = fits and len(waiting) <= self.waiting.shape[1]
        for number, (got, want) in enumerate(zip(arrays, expected, strict=False)):
            fits = fits and got.dtype == want.dtype and (number == 1 or got.shape == want.shape)
        if not fits:
            raise ValueError("a snapshot of another shape of model")
        rows, parts = np.array([row]), len(leaves(self.state))
        self.frames[row], self.waits[row], self.latest[row] = arrays[0][0], len(waiting), arrays[2]
        self.waiting[row, : len(waiting)] = waiting
        tensors = [torch.from_numpy(part.copy()) for part in arrays[3 : 3 + parts]]
        _put(self.state, rows, tensors)
        self._put_detector(rows, DetectorState(*arrays[3 + parts :]))

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

    def _push_group(self, x: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows that wait alike: (len(rows), frames, labels), frames 0 or more."""
        waits, place = int(self.waits[rows[0]]), int(self.frames[rows[0]]) % self.pattern
        total = waits + x.shape[1]
        frames = ((self._end(place) + total + 1) * FRAMES_HZ - 1) // self.rate - place
        if frames == 0:
            self.waiting[rows, waits:total] = x
            self.waits[rows] = total
            return np.zeros((len(rows), 0, self.latest.shape[1]), np.float32)
        x = np.concatenate([self.waiting[rows, :waits], x], axis=1)
        end = self._end(place + frames) - self._end(place)
        scores = self._hear(x[:, :end], place, frames, rows)
        self.waiting[rows, : total - end] = x[:, end:]
        self.waits[rows] = total - end
        self.frames[rows] += frames
        self.latest[rows] = scores[:, -1]
        return scores

    @torch.inference_mode()
    def _hear(
        self, x: Samples, place: int, frames: int, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Run the model over whole frames, some at a time; `place` is that of the first."""
        state = with_leaves(self.state, _pick(self.state, rows))
        most = MOST_ROW_FRAMES // len(rows)
        scores, first = [], self._end(place)
        for done in range(0, frames, most):
            start = self._end(place + done)
            end = self._end(place + min(frames, done + most))
            piece = torch.from_numpy(np.ascontiguousarray(x[:, start - first : end - first]))
            logits, state = self._decide(piece[..., None], state, start)
            scores.append(logits.softmax(dim=-1).numpy())
        _put(self.state, rows, leaves(state))
        return np.concatenate(scores, axis=1) if len(scores) > 1 else scores[0]

    def _decide(self, x: Tensor, parts: Any, samples: int) -> tuple[Tensor, Any]:
        """The model with the counter of its front at `samples`, which stands for the place."""
        front, blocks, pool = parts
        counter = torch.full_like(self._first.front.samples, samples)
        front = front._replace(samples=counter)
        state = self._first._replace(front=front, blocks=blocks, pool=pool)
        logits, after = self.model.decide(x, state)
        return logits, self._parts(after)

    def _parts(self, state: ModelState) -> Any:
        """What a stream carries on: no clip, and no counter, which its place stands for."""
        front = state.front._replace(samples=self._first.front.samples)
        return (front, state.blocks, state.pool)

    def _detect(
        self, scores: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> list[tuple[int, Detection]]:
        index = _index(rows)
        state = DetectorState(*(part[index] for part in self.detector_state))
        events, state = self.detector.run(scores, state)
        self._put_detector(rows, state)
        return [(int(rows[row]), event) for row, event in events]

    def _put_detector(self, rows: NDArray[np.int64], state: DetectorState) -> None:
        index = _index(rows)
        for part, of_rows in zip(self.detector_state, state, strict=True):
            part[index] = of_rows

    def _end(self, frame: int) -> int:
        return frame * self.rate // FRAMES_HZ


def _index(rows: NDArray[np.int64]) -> Any:
    """For rising rows: a slice where they stand side by side, which costs no copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def _pick(state: Any, rows: NDArray[np.int64]) -> list[Tensor]:
    """Rows of every leaf; counters, which have no rows, as they are."""
    index = _index(rows)
    return [leaf[index] if leaf.ndim else leaf for leaf in leaves(state)]


@torch.inference_mode()
def _put(state: Any, rows: NDArray[np.int64], tensors: list[Tensor]) -> None:
    """Write some rows over those of a state, which is this file's own."""
    index = _index(rows)
    for leaf, of_rows in zip(leaves(state), tensors, strict=True):
        if leaf.ndim:
            leaf[index] = of_rows
