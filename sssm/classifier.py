"""One recording in, one answer out: the model fed piece by piece, with its state carried along.

Decided here: how a file becomes a clip's scores.  Files are answered one at a time, so that an
answer does not depend on the other files of a batch.
"""

import functools
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch

from sssm.audio import AudioError, AudioFile, Samples
from sssm.layers.contract import FRAMES_HZ
from sssm.model import KeywordModel
from sssm.weights import ModelCard, ModelFileError, find_model, load_model


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

    def __init__(self, model: KeywordModel, card: ModelCard):
        self.model = model
        self.card = card
        # Bounded, since a folder may hold recordings at any number of rates.
        self._at_rate = functools.lru_cache(maxsize=8)(lambda rate: model.at_rate(rate).frozen())

    @classmethod
    def load(cls, name_or_file: str | os.PathLike[str]) -> Self:
        """The shipped model of that name, or the model in that file.

        Raises:
            ModelFileError: there is neither, or the file is damaged.
        """
        return cls(*load_model(find_model(name_or_file)))

    def classify(self, path: str | os.PathLike[str]) -> Answer:
        """Answer for the whole file, whatever its length, in constant memory.

        Raises:
            AudioError: the file cannot be read to its end, or holds no sound.
        """
        with AudioFile(path) as audio:
            scores = self.scores(audio.pieces(), audio.stream_rate_hz)
            if not audio.heard_samples:
                raise AudioError(path, "holds no samples")
            if audio.replaced_samples == audio.heard_samples:
                raise AudioError(path, "every sample is NaN or infinite")
            return Answer(
                label=max(scores, key=scores.__getitem__),
                scores=scores,
                duration_s=audio.heard_s,
                sample_rate_hz=audio.sample_rate_hz,
                replaced_samples=audio.replaced_samples,
            )

    @torch.inference_mode()
    def scores(self, pieces: Iterable[Samples], sample_rate_hz: int) -> dict[str, float]:
        """Probability of every label, from pieces of shape (samples,) at 8 to 48 kHz.

        What is shorter than one hop of 10 ms is padded with zeros to one.

        Raises:
            ModelFileError: the answer is no number, for which only the weights can be blamed.
        """
        model = self._at_rate(sample_rate_hz)
        state = model.init_state(1)
        heard = 0
        for piece in pieces:
            _, state = model(torch.from_numpy(piece)[None, :, None], state)
            heard += len(piece)
        missing = max(0, sample_rate_hz // FRAMES_HZ - heard)
        if missing:
            _, state = model(torch.zeros(1, missing, 1), state)
        probabilities = model.clip_logits(state).softmax(dim=-1)[0].tolist()
        if not all(map(math.isfinite, probabilities)):
            raise ModelFileError("the model's answer is no number: its weights are damaged")
        return dict(zip(model.config.labels, probabilities, strict=True))
