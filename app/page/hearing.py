"""Sound in; scores, smoothed scores and detections out: what live sound and files go through.

A stream says either what was detected or how it scored.  The page shows both, and the smoothed
scores, which are what a threshold is compared with: so the detector runs here once more.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sssm.detector import Detection, Detector
from sssm.hearing import Health
from sssm.spotter import KeywordSpotter
from sssm.timing import heard_rate


class Completed(NamedTuple):
    """What some sound completed."""

    smoothed: NDArray[np.float64]  # (frames, keywords), one frame each 10 ms
    detections: list[Detection]


class Hearing:
    """One stream of one visitor.  It belongs to one thread at a time."""

    def __init__(self, spotter: KeywordSpotter, sample_rate_hz: int):
        self._stream = spotter.stream(sample_rate_hz)
        self._detector = self._detector_of(spotter)
        self._state = self._detector.init_state(1)

    @property
    def health(self) -> Health:
        return self._stream.health

    def push(self, samples: ArrayLike) -> Completed:
        """Hear the next (n,) samples, int16 or floats in [-1, 1]."""
        scores = self._stream.push_scores(samples)[None]
        smoothed, talk = self._detector.smooth(scores, self._state)
        events, self._state = self._detector.fire(smoothed, self._state._replace(talk=talk))
        return Completed(smoothed[0], [detection for _, detection in events])

    def take_thresholds(self, spotter: KeywordSpotter) -> None:
        """Go on with this spotter's thresholds; it is of the same model."""
        self._detector = self._detector_of(spotter)

    def _detector_of(self, spotter: KeywordSpotter) -> Detector:
        """Its detector, counting time in the samples that the model hears."""
        heard_hz = heard_rate(self._stream.sample_rate_hz)
        return dataclasses.replace(spotter.detector, sample_rate_hz=heard_hz)
