"""One stream of audio: samples in, detections out.  Weights are shared, its state is its own."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sssm.detector import Detection, Detector
from sssm.engines.engine import Engine
from sssm.hearing import Health, mono
from sssm.memory import recall, remembered
from sssm.resampler import Resampler
from sssm.rows import Rows, Scored
from sssm.snapshot import Snapshot, pack

_ROW = np.zeros(1, np.int64)


class Stream:
    """What `KeywordSpotter.stream` gives.  It belongs to one thread at a time."""

    def __init__(self, engine: Engine, detector: Detector, sample_rate_hz: int, fingerprint: str):
        self.sample_rate_hz = sample_rate_hz
        self._engine, self._detector = engine, detector
        self._fingerprint = fingerprint
        self.reset()

    def push(self, samples: ArrayLike) -> list[Detection]:
        """Keywords that the next samples, however many, complete.

        Args:
            samples: (n,) or (n, channels), int16 or floats in [-1, 1].

        Raises:
            ValueError: another shape or type; nothing was heard.
        """
        return [detection for _, detection in self._push(samples)[1]]

    def push_scores(self, samples: ArrayLike) -> NDArray[np.float32]:
        """As `push`, but gives every decision: (frames, labels), one frame each 10 ms.

        The detector hears them too, and what it would have said is not said again.
        """
        ((_, scores),), _ = self._push(samples)
        return scores[0]

    @property
    def scores(self) -> NDArray[np.float32]:
        """(labels,) the latest decision; uniform before the first."""
        return self._rows.latest[0].copy()

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """(keywords,) what the detector compares with their thresholds, after the latest frame."""
        smoothed: NDArray[np.float64] = self._rows.detector_state.smoothed[0].copy()
        return smoothed

    @property
    def time_s(self) -> float:
        """What was pushed since the start or the last reset, exact in samples."""
        return self._samples / self.sample_rate_hz

    @property
    def health(self) -> Health:
        """What was wrong with the samples since the start or the last reset."""
        return self._health

    def reset(self) -> None:
        """Forget everything, time included."""
        self._rows = Rows(self._engine, self._detector, 1)
        self._resampler = None
        if self._rows.rate != self.sample_rate_hz:
            self._resampler = Resampler(self.sample_rate_hz, self._rows.rate)
        self._samples, self._health = 0, Health()

    def snapshot(self) -> bytes:
        """Everything that this stream remembers, for `KeywordSpotter.restore`."""
        snapshot = remembered(
            self._rows, 0, self._resampler,
            sample_rate_hz=self.sample_rate_hz, samples=self._samples, health=self._health,
        )  # fmt: skip
        return pack(snapshot, self._fingerprint)

    def resume(self, snapshot: Snapshot) -> Self:
        """Go on as the stream that a snapshot of this rate is of; returns itself.

        Raises:
            ValueError: it is of another shape of model; nothing was changed.
        """
        recall(snapshot, self._rows, 0, self._resampler)
        facts = snapshot.facts
        self._samples, self._health = facts["samples"], Health(*facts["health"])
        return self

    def _push(self, samples: ArrayLike) -> tuple[list[Scored], list[tuple[int, Detection]]]:
        x, wrong = mono(samples)
        heard = x if self._resampler is None else self._resampler.push(x)
        found = self._rows.push(heard[None], _ROW)
        self._samples += len(x)
        if any(wrong):
            self._health = Health(*(a + b for a, b in zip(self._health, wrong, strict=True)))
        return found
