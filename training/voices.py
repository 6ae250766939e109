"""Speakers without number: Kokoro-82M, speaking in means of its voices."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import soundfile
import soxr

from sssm.reason import reason_of
from sssm.whole_file import whole_file
from training.augment import fade
from training.corpus import SAMPLE_RATE_HZ, Spoken
from training.vocabulary import words_of

KOKORO_HZ = 24_000
STYLE = 256  # numbers of a voice, for each length of a text
LONGEST = 500  # phonemes of a text
INPUTS = ["tensor(int64)", "tensor(float)", "tensor(float)"]  # tokens, style, speed
SHARE = 0.6  # both parameters of the beta distribution of a mean of two voices: mostly one of them
SPEED = (0.8, 1.2)
PEAK = (0.1, 0.6)  # of full scale
# A word alone comes out as another one; after these, which end in a pause, it is said alone.
CARRIERS = (
    "please say: {}!", "please say: {}.", "i said, {}!", "now say the word: {}.",
    "the next word is... {}.", "say it: {}?", "one more time: {}!", "she said: {}.",
)  # fmt: skip
BEFORE_S, EDGE_S = 0.04, 0.01  # kept before a word that is cut, and faded


class Speaker(Protocol):
    """Whoever says a text."""

    def say(self, text: str, rng: np.random.Generator) -> np.ndarray:
        """Samples at 16 kHz, float32, in a voice that is drawn."""


class WordFinder(Protocol):
    """Whoever finds the words of a text in what was said: `training.align.Aligner`."""

    def times(self, samples: np.ndarray, words: list[str]) -> list[Spoken] | None:
        """When each is said, in int16 samples at 16 kHz; None where they are not found."""


class Voice(NamedTuple):
    """One of Kokoro's voices."""

    styles: np.ndarray  # (lengths, STYLE) float32
    british: bool


class Kokoro:
    """A text-to-speech model with its English voices.

    Args:
        model: ONNX file of Kokoro-82M: inputs tokens, style and speed.
        voices: folder of float32 arrays (lengths, 256), named as `af_heart.bin`, `bm_george.bin`.

    Raises:
        ValueError: the package that knows pronunciations is not installed; the model or a voice
            cannot be read.
    """

    def __init__(self, model: Path, voices: Path):
        try:
            from hibari import Hibari
            from hibari.g2p import G2P
        except ImportError:
            raise ValueError("hibari-tts is missing: pip install 'sssm[voices]'") from None
        if not model.is_file():
            raise ValueError(f"{model}: no such file")
        try:
            self._network: Any = Hibari(model=str(model))
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ValueError(f"{model}: {' '.join(str(error).split())[:200]}") from None
        inputs = self._network.sess.get_inputs()
        self._names = [each.name for each in inputs]
        if [each.type for each in inputs] != INPUTS or self._names[1:] != ["style", "speed"]:
            raise ValueError(f"{model}: not Kokoro-82M: its inputs are {', '.join(self._names)}")
        self._phonemes = {british: G2P(british=british) for british in (False, True)}
        paths = sorted(path for accent in "ab" for path in voices.glob(f"{accent}[fm]_*.bin"))
        self._voices = [_voice(path) for path in paths]
        if len(paths) < 2:
            raise ValueError(f"{voices}: two English voices at least, such as af_heart.bin")

    def say(self, text: str, rng: np.random.Generator) -> np.ndarray:
        """Samples at 16 kHz, float32, in a voice that is drawn.

        The mean of two voices speaks too, and sounds like a third.

        Raises:
            ValueError: nothing of the text can be said.
        """
        first, second = rng.choice(len(self._voices), 2, replace=False)
        one, two = self._voices[first], self._voices[second]
        share, speed = rng.beta(SHARE, SHARE), rng.uniform(*SPEED)
        phonemes = self._phonemes[(one if share > 0.5 else two).british](text)
        tokens = self._network.ids(phonemes[:LONGEST])
        if len(tokens) < 3:  # the two ends
            raise ValueError(f"nothing can be said of {text!r}")
        row = min(len(tokens) - 2, len(one.styles), len(two.styles)) - 1
        style = share * one.styles[row] + (1 - share) * two.styles[row]
        values = np.array([tokens]), style[None].astype(np.float32), np.array([speed], np.float32)
        feed = dict(zip(self._names, values, strict=True))
        x = self._network.sess.run(None, feed)[0].ravel()
        x = soxr.resample(x, KOKORO_HZ, SAMPLE_RATE_HZ)
        loudest = max(1e-3, float(np.abs(x).max(initial=0)))
        return (x * (rng.uniform(*PEAK) / loudest)).astype(np.float32)


def alone(
    word: str, speaker: Speaker, aligner: WordFinder, rng: np.random.Generator
) -> np.ndarray | None:
    """A word, or some in a row, said alone: samples at 16 kHz; None where it is not found."""
    text = CARRIERS[rng.integers(len(CARRIERS))].format(word)
    x = speaker.say(text, rng)
    found = aligner.times((x * 32_767).astype(np.int16), words_of(text))
    if found is None:
        return None
    start = found[-len(words_of(word))].start - int(BEFORE_S * SAMPLE_RATE_HZ)
    return fade(x[max(0, start) :], int(EDGE_S * SAMPLE_RATE_HZ))


def write(path: Path, x: np.ndarray) -> None:
    """Write samples at 16 kHz in one move: a kill leaves the whole file or none."""
    with whole_file(path) as file:
        soundfile.write(file, x, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")


def _voice(path: Path) -> Voice:
    try:
        numbers = np.fromfile(path, np.float32)
    except OSError as error:
        raise ValueError(f"{path}: {reason_of(error)}") from None
    if not len(numbers) or len(numbers) % STYLE or not np.isfinite(numbers).all():
        raise ValueError(f"{path}: not a voice of Kokoro")
    return Voice(numbers.reshape(-1, STYLE), path.name.startswith("b"))
