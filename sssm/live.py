"""A model that listens, whatever runs it.

One rule: a shipped name runs on onnxruntime, as every .onnx file does; a .safetensors file runs on
torch, which the extra `torch` installs.  The compiled engine that it then has is half as fast again
or more for long recordings and many streams: who has the extra may hand in the shipped weights.
"""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sssm.audio import AudioError, AudioFile
from sssm.engines import engine_for
from sssm.engines.engine import Engine
from sssm.weights import (
    ModelCard,
    ModelFileError,
    fingerprint,
    load_model,
    named_file,
    shipped_models,
)

if TYPE_CHECKING:
    from sssm.model import KeywordModel
    from sssm.onnx.card import OnnxCard

ONNX = ".onnx"
KEPT_RATES = 8  # engines of so many rates: a folder may hold recordings at any number of them
T = TypeVar("T")


class LiveModel(NamedTuple):
    """Engines of one model, and what they need beside them.

    Attributes:
        engine_at: the engine for a rate of 8 to 48 kHz.
        labels: names of the columns of logits.
        clip_offset: a label's offset in the answer for a whole recording.
    """

    engine_at: Callable[[int], Engine]
    labels: tuple[str, ...]
    clip_offset: tuple[float, ...]


class Loaded(NamedTuple):
    """What a file holds."""

    model: LiveModel
    card: "ModelCard | OnnxCard"
    fingerprint: str


def live_models() -> dict[str, Path]:
    """Short name -> file that listens, of every model that came with the package.

    A checkout in which a model was not exported yet has its weights alone: they listen.
    """
    return shipped_models() | shipped_models(ONNX)


def find_live(name_or_file: str | os.PathLike[str]) -> Path:
    """File that a shipped model's name means to who listens, or the path itself.

    Raises:
        ModelFileError: there is neither.
    """
    return named_file(name_or_file, live_models())


def describe(path: Path) -> tuple["ModelCard | OnnxCard", Mapping[str, int]]:
    """Card and cost, see `sssm.cost.Cost`, of a file of either kind.

    Raises:
        ModelFileError: the file is damaged, or needs the extra `torch`.
    """
    if path.suffix == ONNX:
        from sssm.onnx.engine import read_card

        exported = read_card(path)
        return exported, exported.cost
    network, card = load_model(path)  # first: it says which extra what follows needs

    from sssm.cost import cost

    return card, cost(network)._asdict()


def load_live(name_or_file: str | os.PathLike[str]) -> Loaded:
    """The shipped model of that name, or the model in that file.

    Raises:
        ModelFileError: there is neither, the file is damaged, or it needs the extra `torch`.
    """
    path = find_live(name_or_file)
    if path.suffix != ONNX:
        network, card = load_model(path)
        return Loaded(live(network), card, fingerprint(path))
    from sssm.onnx.engine import OnnxModel

    exported = OnnxModel(path)
    model = LiveModel(_kept(exported.at_rate), exported.card.labels, exported.card.clip_offset)
    return Loaded(model, exported.card, exported.card.model)


def live(network: "KeywordModel") -> LiveModel:
    """A model of torch that listens, by the fastest engine there is for it."""
    offset = tuple(network.clip.offset.tolist())
    return LiveModel(_kept(functools.partial(engine_for, network)), network.config.labels, offset)


def at_rate_of(audio: AudioFile, made_at: Callable[[int], T]) -> T:
    """What hears a recording: an engine or a stream, by what makes one for a rate.

    Raises:
        AudioError: the model cannot hear its rate.
    """
    try:
        return made_at(audio.stream_rate_hz)
    except ModelFileError as error:
        raise AudioError(audio.path, f"recorded at {audio.sample_rate_hz} Hz; {error}") from None


def _kept(engine_at: Callable[[int], Engine]) -> Callable[[int], Engine]:
    return functools.lru_cache(maxsize=KEPT_RATES)(engine_at)
