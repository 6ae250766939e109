"""Keywords in live audio: one spotter for a program, one stream for each source of sound.

Decided here: at which rate the model runs, and which settings the detector has.  From 8 to 48 kHz
the model follows the rate; any other goes through a resampler to 16 kHz.
"""

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Self

from sssm.audio import READABLE_RATES_HZ
from sssm.batch import Batch
from sssm.detector import Detector
from sssm.engines.engine import Engine
from sssm.live import Card, LiveModel, Names, detector_of, load_live
from sssm.rows import Rows
from sssm.snapshot import unpack
from sssm.stream import Stream
from sssm.timing import FRAMES_HZ, heard_rate, whole_rate


class KeywordSpotter:
    """A model that listens.  It may be shared by threads; a stream belongs to one.

    Processes may share it by fork where it runs on onnxruntime.  On torch they are to be spawned:
    a forked one hangs, as all do whose parent has torch compute in several threads.

    Attributes:
        card: of the model.
        labels: names of the columns of scores.
        detector: its settings; `thresholds` among them.
        fingerprint: of the model, by which snapshots and files of thresholds know it.
    """

    def __init__(
        self,
        model: LiveModel,
        card: Card,
        detector: Detector,
        *,
        fingerprint: str,
    ):
        self.card = card
        self.labels = model.labels
        self.detector = detector
        self.fingerprint = fingerprint
        self._engine_at = model.engine_at

    @classmethod
    def load(cls, name_or_file: Names, thresholds: Mapping[str, float] | None = None) -> Self:
        """The shipped model of that name, the model in that file, or several as one.

        Args:
            name_or_file: "s4", or a path.  A shipped name and an .onnx file run on onnxruntime, a
                .safetensors file on torch, see `sssm.live`.  "s4+mamba" is the mean of both, and so
                is a list of files.
            thresholds: keyword -> score from which it counts as heard, instead of the model's.

        Raises:
            ModelFileError: there is no such model, the file is damaged, or needs the extra `torch`.
            ValueError: a threshold is not in (0, 1], or for what is no keyword of the model.
        """
        name, model, card, fingerprint = load_live(name_or_file)
        spotter = cls(model, card, detector_of(card, name), fingerprint=fingerprint)
        return spotter.with_settings(thresholds=thresholds) if thresholds else spotter

    @property
    def keywords(self) -> tuple[str, ...]:
        """The labels that are detected: neither silence nor unknown words."""
        return self.detector.keywords

    @property
    def thresholds(self) -> dict[str, float]:
        """Score from which each keyword counts as heard, in their order."""
        return dict(self.detector.thresholds)

    def with_settings(
        self, *, thresholds: Mapping[str, float] | None = None, refractory_s: float | None = None
    ) -> Self:
        """The same model with another detector.

        Args:
            thresholds: keyword -> score from which it counts as heard; others stay as they are.
            refractory_s: seconds after a detection in which nothing else is, to 10 ms.

        Raises:
            ValueError: a value is outside of its range, or for what is no keyword of the model.
        """
        detector = self.detector
        if thresholds:
            chosen = {**detector.thresholds, **thresholds}
            detector = dataclasses.replace(detector, thresholds=chosen)
        if refractory_s is not None:
            if not math.isfinite(refractory_s):
                raise ValueError(f"refractory_s must be a number of seconds, got {refractory_s}")
            frames = round(refractory_s * FRAMES_HZ)
            detector = dataclasses.replace(detector, refractory=frames)
        other = copy.copy(self)
        other.detector = detector
        return other

    def stream(self, sample_rate_hz: float = 16_000) -> Stream:
        """A new stream of audio at this rate.

        Raises:
            ValueError: no whole number of samples a second, or too few or many for speech.
            ModelFileError: the model's file hears another rate alone.
        """
        rate = whole_rate(sample_rate_hz, READABLE_RATES_HZ)
        engine, detector = self._at(heard_rate(rate))
        return Stream(engine, detector, rate, self.fingerprint)

    def batch(self, size: int, sample_rate_hz: float = 16_000) -> Batch:
        """Many new streams of audio at this rate.

        Raises:
            ValueError: a rate that `stream` refuses, or a size below 1.
            ModelFileError: the model's file hears another rate alone.
        """
        rate = whole_rate(sample_rate_hz, READABLE_RATES_HZ)
        if size < 1:
            raise ValueError(f"a batch has at least one stream, got {size}")
        engine, detector = self._at(heard_rate(rate))
        return Batch(Rows(engine, detector, size), rate, self.fingerprint)

    def restore(self, data: bytes) -> Stream:
        """The stream that `Stream.snapshot` or `Batch.snapshot` was of, at the same place.

        Raises:
            ValueError: not a whole snapshot of a stream of this model.
        """
        snapshot = unpack(data, self.fingerprint)
        return self.stream(snapshot.facts["sample_rate_hz"]).resume(snapshot)

    def _at(self, rate: int) -> tuple[Engine, Detector]:
        return self._engine_at(rate), dataclasses.replace(self.detector, sample_rate_hz=rate)
