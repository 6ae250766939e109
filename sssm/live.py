"""A model that listens, whatever runs it.

One rule: a shipped name runs on onnxruntime, as every .onnx file does; a .safetensors file runs on
torch, which the extra `torch` installs.  The compiled engine that it then has is half as fast again
or more for long recordings and many streams: who has the extra may hand in the shipped weights.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from sssm.audio import AudioError, AudioFile
from sssm.calibration import logistic, logit
from sssm.detector import Detector
from sssm.engines import engine_for
from sssm.engines.engine import Engine
from sssm.engines.mean import MeanEngine
from sssm.weights import (
    ONNX,
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

JOIN = "+"  # between the names of models that listen as one
KEPT_RATES = 8  # engines of so many rates: a folder may hold recordings at any number of them
T = TypeVar("T")

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A shipped model's name or a file, or several joined by `+`; or a list of what listens as one."""


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


class EnsembleCard(NamedTuple):
    """What models that listen as one say of themselves.

    Attributes:
        labels, detector: which all of them have.
        thresholds: the means of theirs, in logit.
    """

    labels: tuple[str, ...]
    detector: Mapping[str, Any]
    thresholds: Mapping[str, float]


Card: TypeAlias = "ModelCard | OnnxCard | EnsembleCard"


class Loaded(NamedTuple):
    """What a file holds, or some files together; `name` is theirs, for messages."""

    name: str
    model: LiveModel
    card: Card
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
    if path.suffix.lower() == ONNX:
        from sssm.onnx.engine import read_card

        exported = read_card(path)
        return exported, exported.cost
    network, card = load_model(path)  # first: it says which extra what follows needs

    from sssm.cost import cost

    return card, cost(network)._asdict()


def members_of(names: Names) -> list[str]:
    """Names or files of the models that listen as one; a file's own name may have a `+` too.

    >>> members_of("s4+mamba")
    ['s4', 'mamba']

    Raises:
        ModelFileError: nothing stands before or after a `+`, or nothing is listed.
    """
    if not isinstance(names, str | os.PathLike):
        if not names:
            raise ModelFileError("no model is named")
        return [os.fspath(file) for file in names]
    parts, members = os.fspath(names).split(JOIN), []
    while parts:
        heads = (JOIN.join(parts[:n]) for n in range(len(parts), 1, -1))
        members.append(next((head for head in heads if os.path.isfile(head)), parts[0]))
        parts = parts[members[-1].count(JOIN) + 1 :]
    if len(members) > 1 and not all(members):
        raise ModelFileError(f"{os.fspath(names)}: a model is missing beside {JOIN}")
    return members


def load_live(names: Names) -> Loaded:
    """The shipped model of that name, the model in that file, or several as one.

    Raises:
        ModelFileError: there is no such model, a file is damaged or needs the extra `torch`, or
            joined models differ in their labels or their detector.
    """
    members = members_of(names)
    loaded = [_load(name) for name in members]
    return loaded[0] if len(loaded) == 1 else _ensemble(JOIN.join(members), loaded)


def _load(name_or_file: str) -> Loaded:
    path = find_live(name_or_file)
    if path.suffix.lower() != ONNX:
        network, card = load_model(path)
        return Loaded(name_or_file, live(network), card, fingerprint(path))
    from sssm.onnx.engine import OnnxModel

    exported = OnnxModel(path)
    model = LiveModel(_kept(exported.at_rate), exported.card.labels, exported.card.clip_offset)
    return Loaded(name_or_file, model, exported.card, exported.card.model)


def detector_of(card: Card, name: object) -> Detector:
    """As the card says.

    Raises:
        ModelFileError: that makes no sense.
    """
    try:
        return Detector(labels=card.labels, thresholds=card.thresholds, **card.detector)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{name}: its detector is damaged ({error})") from None


def _ensemble(names: str, members: Sequence[Loaded]) -> Loaded:
    # Named in another order they are the same model, with the same thresholds and snapshots.
    loaded = sorted(members, key=lambda member: member.fingerprint)
    cards = [member.card for member in loaded]
    detectors = [detector_of(card, names) for card in cards]
    for card in cards[1:]:
        for what in ("labels", "detector"):
            if getattr(card, what) != getattr(cards[0], what):
                raise ModelFileError(f"{names}: other {what}, so they cannot listen as one")
    models = [member.model for member in loaded]
    offsets = zip(*(model.clip_offset for model in models), strict=True)

    def engine_at(sample_rate_hz: int) -> Engine:
        return MeanEngine([model.engine_at(sample_rate_hz) for model in models])

    model = LiveModel(
        _kept(engine_at), models[0].labels, tuple(sum(of) / len(models) for of in offsets)
    )
    thresholds = {
        keyword: _mean_in_logit([detector.thresholds[keyword] for detector in detectors])
        for keyword in detectors[0].keywords
    }
    together = EnsembleCard(cards[0].labels, cards[0].detector, thresholds)
    digest = hashlib.sha256(JOIN.join(member.fingerprint for member in loaded).encode())
    return Loaded(names, model, together, digest.hexdigest()[:16])


def _mean_in_logit(probabilities: Sequence[float]) -> float:
    """The probability whose logit is the mean of theirs; 1 where one of them is 1."""
    if max(probabilities) == 1:
        return 1.0
    return logistic(sum(map(logit, probabilities)) / len(probabilities))


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
