"""Thousands of streams at once, each as it would be alone, at one rate."""

import operator
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sssm.detector import Detection
from sssm.hearing import Health, rows_of_mono
from sssm.memory import recall, remembered
from sssm.resampler import Resampler
from sssm.rows import Rows, Scored
from sssm.snapshot import pack, unpack


class Batch:
    """What `KeywordSpotter.batch` gives.  It belongs to one thread at a time.

    A row that is not active in a push keeps its state, as a stream that was not called.
    """

    def __init__(self, rows: Rows, sample_rate_hz: int, fingerprint: str):
        self.size = len(rows.frames)
        self.sample_rate_hz = sample_rate_hz
        self._rows = rows
        self._resamplers: list[Resampler] = []  # of every row, where the model hears another rate
        if rows.rate != sample_rate_hz:
            self._resamplers = [Resampler(sample_rate_hz, rows.rate) for _ in range(self.size)]
        self._fingerprint = fingerprint
        self._samples = np.zeros(self.size, np.int64)
        self._health = np.zeros((3, self.size), np.int64)

    def push(
        self, samples: ArrayLike, active: ArrayLike | None = None
    ) -> list[tuple[int, Detection]]:
        """Keywords that the next samples complete, with their rows, in the order of time.

        Args:
            samples: (size, n), int16 or floats in [-1, 1].
            active: (size,) bool, the rows to hear; all when it is not given.

        Raises:
            ValueError: another shape or type; nothing was heard.
        """
        _, events = self._push(samples, active)
        return sorted(events, key=lambda event: (event[1].time_s, event[0]))

    def push_scores(
        self, samples: ArrayLike, active: ArrayLike | None = None
    ) -> list[NDArray[np.float32]]:
        """As `push`, but gives every decision: for each row (frames, labels).

        The detector hears them too, and what it would have said is not said again.
        """
        heard, _ = self._push(samples, active)
        found = [np.zeros((0, self._rows.latest.shape[1]), np.float32)] * self.size
        for rows, scores in heard:
            for row, of_row in zip(rows, scores, strict=True):
                found[row] = of_row
        return found

    @property
    def scores(self) -> NDArray[np.float32]:
        """(size, labels) the latest decision of every row; uniform before the first."""
        return self._rows.latest.copy()

    @property
    def time_s(self) -> NDArray[np.float64]:
        """(size,) what every row heard since its start or last reset."""
        return self._samples / self.sample_rate_hz

    def health(self, row: int) -> Health:
        """What was wrong with the samples of one row since its start or last reset."""
        return Health(*self._health[:, self._row(row)].tolist())

    def reset(self, rows: ArrayLike) -> None:
        """Make these rows forget everything, time included.

        Raises:
            ValueError: these are no numbers of rows, a mask for example.
            IndexError: there is no such row.
        """
        numbers = np.atleast_1d(np.asarray(rows))
        if numbers.ndim > 1 or (numbers.dtype.kind not in "iu" and len(numbers)):
            what = f"{numbers.dtype} of shape {numbers.shape}"
            raise ValueError(f"rows must be numbers of rows, got {what}")
        fresh = Rows(self._rows.engine, self._rows.detector, 1).export(0)
        for row in {self._row(row) for row in numbers}:
            self._rows.restore(row, fresh)
            if self._resamplers:
                self._resamplers[row] = Resampler(self.sample_rate_hz, self._rows.rate)
            self._samples[row], self._health[:, row] = 0, 0

    def snapshot(self, row: int) -> bytes:
        """Everything that one row remembers, as `Stream.snapshot` of such a stream."""
        row = self._row(row)
        snapshot = remembered(
            self._rows, row, self._resampler(row), sample_rate_hz=self.sample_rate_hz,
            samples=int(self._samples[row]), health=self._health[:, row].tolist(),
        )  # fmt: skip
        return pack(snapshot, self._fingerprint)

    def restore(self, row: int, data: bytes) -> None:
        """Make one row go on as the stream that the snapshot is of.

        Raises:
            ValueError: no whole snapshot of a stream of this model and rate; nothing was changed.
        """
        row = self._row(row)
        snapshot = unpack(data, self._fingerprint)
        facts = snapshot.facts
        rate = facts["sample_rate_hz"]
        if rate != self.sample_rate_hz:
            raise ValueError(f"a snapshot at {rate} Hz, this batch is at {self.sample_rate_hz} Hz")
        recall(snapshot, self._rows, row, self._resampler(row))
        self._samples[row], self._health[:, row] = facts["samples"], facts["health"]

    def _push(
        self, samples: ArrayLike, active: ArrayLike | None
    ) -> tuple[list[Scored], list[tuple[int, Detection]]]:
        mask = np.ones(self.size, np.bool_) if active is None else np.asarray(active)
        if mask.shape != (self.size,) or mask.dtype != np.bool_:
            got = f"{mask.dtype} {mask.shape}"
            raise ValueError(f"active must be bool of shape ({self.size},), got {got}")
        x, wrong = rows_of_mono(samples, self.size)
        rows = np.flatnonzero(mask)
        if not len(rows):
            return [], []
        heard, events = [], []
        for group, piece in self._at_rate(x if len(rows) == self.size else x[rows], rows):
            of_group = self._rows.push(piece, group)
            heard += of_group[0]
            events += of_group[1]
        self._samples[rows] += x.shape[1]
        self._health[:, rows] += wrong[:, rows]
        return heard, events

    def _at_rate(
        self, x: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Rows that go together, and their samples at the rate of the model."""
        if not self._resamplers:
            yield rows, x
            return
        pieces = [self._resamplers[row].push(piece) for row, piece in zip(rows, x, strict=True)]
        lengths = np.array([len(piece) for piece in pieces])
        for length in np.unique(lengths):  # a resampler gives what is ready
            group = np.flatnonzero(lengths == length)
            yield rows[group], np.stack([pieces[n] for n in group])

    def _resampler(self, row: int) -> Resampler | None:
        return self._resamplers[row] if self._resamplers else None

    def _row(self, row: int) -> int:
        number = operator.index(row)
        if not 0 <= number < self.size:
            raise IndexError(f"row {number} of a batch of {self.size}")
        return number
