"""One recording in, one answer out: the model fed piece by piece, with its state carried along.

Decided here: how a file becomes a clip's scores.  Files are answered one at a time, so that an
answer does not depend on the other files of a batch.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from sssm.audio import AudioFile, Samples
from sssm.clip import clip_scores
from sssm.engines.engine import Engine
from sssm.hearing import mono
from sssm.live import LiveModel, Names, at_rate_of, live, load_live
from sssm.timing import NATIVE_RATES_HZ, whole_rate
from sssm.weights import ModelFileError

if TYPE_CHECKING:
    from sssm.model import KeywordModel


@dataclass(frozen=True)
class Answer:
    """What one recording says: scores holds the probability of every label."""

    label: str
    scores: dict[str, float]
    duration_s: float
    sample_rate_hz: int
    replaced_samples: int  # NaN or infinite ones, heard as zero

    @property
    def score(self) -> float:
        return self.scores[self.label]


class Classifier:
    """A model that names the one word of a recording, or `_unknown_`, or `_silence_`.

    >>> Classifier.load("s4").classify("assets/demo.wav").label
    'yes'
    """

    def __init__(self, model: LiveModel):
        self.labels = model.labels
        self._engine_at = model.engine_at
        self._clip_offset = model.clip_offset

    @classmethod
    def load(cls, name_or_file: Names) -> Self:
        """The shipped model of that name, the model in that file, or several as one.

        Raises:
            ModelFileError: there is neither, the file is damaged, or it needs the extra `torch`.
        """
        return cls(load_live(name_or_file).model)

    @classmethod
    def of(cls, network: "KeywordModel") -> Self:
        """A model of torch."""
        return cls(live(network))

    def classify(
        self, path: str | os.PathLike[str], on_heard: Callable[[float], None] = lambda heard_s: None
    ) -> Answer:
        """Answer for the whole file, whatever its length, in constant memory.

        Args:
            path: of the file.
            on_heard: called with the seconds heard, every few seconds; what it raises is the end.

        Raises:
            AudioError: the file cannot be read to its end, holds no sound, or is at a rate that the
                model cannot hear.
            ModelFileError: the answer is no number, for which only the weights can be blamed.
        """
        with AudioFile(path) as audio:
            engine = at_rate_of(audio, self._engine_at)
            scores = self._scores(engine, _told(audio, on_heard), audio.stream_rate_hz)
            audio.check_heard()
            return Answer(
                label=max(scores, key=scores.__getitem__),
                scores=scores,
                duration_s=audio.heard_s,
                sample_rate_hz=audio.sample_rate_hz,
                replaced_samples=audio.replaced_samples,
            )

    def scores(self, pieces: Iterable[Samples], sample_rate_hz: int) -> dict[str, float]:
        """Probability of every label, from pieces of shape (samples,) at 8 to 48 kHz.

        They are int16 or floats in [-1, 1]; NaN and infinity count as 0.  What is shorter than one
        hop of 10 ms is padded with zeros to one.

        Raises:
            ValueError: another shape, type or rate.
            ModelFileError: the answer is no number, for which only the weights can be blamed; or
                the file hears another rate alone.
        """
        numbers = (mono(piece)[0] for piece in pieces)
        rate = whole_rate(sample_rate_hz, NATIVE_RATES_HZ)
        return self._scores(self._engine_at(rate), numbers, rate)

    def _scores(
        self, engine: Engine, pieces: Iterable[Samples], sample_rate_hz: int
    ) -> dict[str, float]:
        with np.errstate(invalid="ignore", over="ignore"):
            scores = clip_scores(engine, self._clip_offset, pieces, sample_rate_hz).tolist()
        if not all(map(math.isfinite, scores)):
            raise ModelFileError("the model's answer is no number: its weights are damaged")
        return dict(zip(self.labels, scores, strict=True))


def _told(audio: AudioFile, on_heard: Callable[[float], None]) -> Iterator[Samples]:
    for piece in audio.pieces():
        on_heard(audio.heard_s)
        yield piece
