"""A model as one file: weights, and in the metadata who it is.  Data, never code.

The file is in the safetensors format.  Its metadata holds, each as JSON: format_version, config,
labels, sample_rate_hz, thresholds, detector, training_data, licence, accuracy, and the checksum of
all of it, weights included.  What is unknown, missing, cut short, changed or not a number is
refused in one line that says which.  Reading a card loads no torch.  What listens to a shipped
model need not read this file: see `sssm.live`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sssm.config import ModelConfig
from sssm.weight_shapes import compare, compare_size
from sssm.whole_file import whole_file

if TYPE_CHECKING:
    from sssm.model import KeywordModel

FORMAT_VERSION = 1
SHIPPED = {"s4": "kws12-s4", "mamba": "kws12-mamba"}  # short name -> name of its files
WEIGHTS, ONNX = ".safetensors", ".onnx"
NEEDS = ("torch", "safetensors", "numba")  # what the extra `torch` installs

_KEYS = (
    "format_version", "config", "labels", "sample_rate_hz", "thresholds", "detector",
    "training_data", "licence", "accuracy", "checksum",
)  # fmt: skip


class ModelFileError(ValueError):
    """A model file is unknown or damaged; one line says which file and what is wrong."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model file says of itself.

    Attributes:
        config: shape of the model, its labels among it.
        training_data: what it learned from.
        licence: of the weights.
        accuracy: name -> figure, or text about the figures; shares are fractions.
        thresholds: keyword -> score from which it counts as heard.
        detector: settings of the detector.
    """

    config: ModelConfig
    training_data: str
    licence: str
    accuracy: Mapping[str, Any]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    detector: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the output's columns."""
        return self.config.labels

    @property
    def sample_rate_hz(self) -> int:
        """Rate that the model was trained at."""
        return self.config.sample_rate_hz


def shipped_models(suffix: str = WEIGHTS) -> dict[str, Path]:
    """Short name -> file of every model that came with the package, of those that end so."""
    files = {name: shipped_file(f"{stem}{suffix}") for name, stem in SHIPPED.items()}
    return {name: path for name, path in files.items() if path is not None}


def shipped_file(name: str) -> Path | None:
    """A file that came with the package, if it did."""
    folders = (
        Path(str(resources.files("sssm"))) / "assets",  # an installed wheel
        Path(__file__).parents[1] / "assets",  # a checkout
    )
    return next((path for folder in folders if (path := folder / name).is_file()), None)


def find_model(name_or_file: str | os.PathLike[str]) -> Path:
    """Weights of a shipped model's name, or the path itself.

    Raises:
        ModelFileError: there is neither.
    """
    return named_file(name_or_file, shipped_models())


def named_file(name_or_file: str | os.PathLike[str], shipped: Mapping[str, Path]) -> Path:
    """File of a name, or the path itself.

    Raises:
        ModelFileError: there is neither.
    """
    full_names = {path.stem: path for path in shipped.values()}  # `kws12-s4` is `s4`
    path = {**full_names, **shipped}.get(str(name_or_file), Path(name_or_file))
    if not os.path.isfile(path):  # Path's own fails where nobody may look
        known = ", ".join(shipped) or "none"
        raise ModelFileError(f"{path}: no such model file (shipped models: {known})")
    return path


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """The card of a file of weights, checked against its checksum.

    Raises:
        ModelFileError: the file is not a model of this version, or is damaged, or needs the extra
            `torch`.
    """
    return _read(Path(path))[0]


def load_model(path: str | os.PathLike[str]) -> tuple["KeywordModel", ModelCard]:
    """The model in float32, ready to run, and its card.

    Raises:
        ModelFileError: the file is not a model of this version, or is damaged, or needs the extra
            `torch`.
    """
    card, arrays = _read(Path(path))

    import torch

    from sssm.model import KeywordModel

    try:
        compare_size(card.config, arrays)  # before memory is taken for what it asks for
        model = KeywordModel(card.config).float()
        compare(model.state_dict(), arrays)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return model.eval(), card


def save_model(path: str | os.PathLike[str], model: "KeywordModel", card: ModelCard) -> None:
    """Write weights and card in one move.

    Raises:
        ValueError: the card is of another shape of model, or a weight or a figure of the card is
            not a number.
        OSError: the file cannot be written.
    """
    if card.config != model.config:
        raise ValueError("the card's config is not the model's")
    arrays = {
        name: np.ascontiguousarray(value.detach().float().cpu().numpy())
        for name, value in model.state_dict().items()
    }
    broken = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(f"{broken[0]} is not a number everywhere; the model is not saved")
    metadata = {key: json.dumps(value, allow_nan=False) for key, value in _metadata(card).items()}
    metadata["checksum"] = json.dumps(_checksum(metadata, arrays))
    from safetensors.numpy import save

    with whole_file(path) as file:
        file.write_bytes(save(arrays, metadata))


def missing_packages() -> list[str]:
    """What is not installed of what the weights need."""
    return [name for name in NEEDS if find_spec(name) is None]


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Name of a model by its numbers: the same config and weights give the same 16 hex digits.

    Raises:
        ModelFileError: the file is not a model of this version, or is damaged, or needs the extra
            `torch`.
    """
    card, arrays = _read(Path(path))
    return _checksum({"config": json.dumps(card.config.to_dict())}, arrays)[:16]


def _metadata(card: ModelCard) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "config": card.config.to_dict(),
        "labels": list(card.labels),
        "sample_rate_hz": card.sample_rate_hz,
        "thresholds": dict(card.thresholds),
        "detector": dict(card.detector),
        "training_data": card.training_data,
        "licence": card.licence,
        "accuracy": dict(card.accuracy),
    }


def _read(path: Path) -> tuple[ModelCard, dict[str, np.ndarray]]:
    if not os.path.isfile(path):
        raise ModelFileError(f"{path}: no such model file")
    if path.suffix.lower() == ONNX:
        raise ModelFileError(f"{path}: exported; what is needed here are weights, {WEIGHTS}")
    try:
        metadata = _header_metadata(path)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _not_whole(path, error) from None
    if missing := missing_packages():
        raise ModelFileError(f"{path}: needs {missing[0]}: pip install 'sssm[torch]'")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _not_whole(path, error) from None
    values = _values(path, metadata)
    if values["checksum"] != _checksum(metadata, arrays):
        raise ModelFileError(f"{path}: damaged, its checksum does not match")
    broken = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if broken:
        raise ModelFileError(f"{path}: weight {broken[0]} holds what is not a number")
    try:
        config = ModelConfig.from_dict(values["config"])
        card = ModelCard(
            config=config, training_data=str(values["training_data"]),
            licence=str(values["licence"]), accuracy=dict(values["accuracy"]),
            thresholds=dict(values["thresholds"]), detector=dict(values["detector"]),
        )  # fmt: skip
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{path}: its card is damaged ({error})") from None
    if (list(config.labels), config.sample_rate_hz) != (values["labels"], values["sample_rate_hz"]):
        raise ModelFileError(f"{path}: labels or rate are not those of its config")
    return card, arrays


def _header_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file, which begins with a length and a JSON object."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        rest = path.stat().st_size - file.tell()
        if length > rest:
            raise ValueError(f"a header of {length} bytes, of which {rest} are there")
        header = json.loads(file.read(length))
    return dict(header.get("__metadata__", {}))


def _not_whole(path: Path, error: Exception) -> ModelFileError:
    reason = " ".join(str(error).split())
    return ModelFileError(f"{path}: not a whole safetensors file ({reason})")


def _values(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """Metadata with its JSON read: all keys of this version, and no other."""
    values = {}
    for key, text in metadata.items():
        try:
            values[key] = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise ModelFileError(f"{path}: metadata {key} is not JSON") from None
    version = values.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        wanted = f"this program reads {FORMAT_VERSION}"
        raise ModelFileError(f"{path}: format version {version}, {wanted}")
    missing = [key for key in _KEYS if key not in values]
    if missing:
        raise ModelFileError(f"{path}: not a model of sssm, {missing[0]} is missing")
    unknown = sorted(values.keys() - set(_KEYS))
    if unknown:
        raise ModelFileError(f"{path}: unknown metadata {unknown[0]!r}")
    return values


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _checksum(metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(metadata.keys() - {"checksum"}):
        digest.update(f"{key}\0{metadata[key]}\0".encode())
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(f"{name}\0{value.dtype}\0{value.shape}\0".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
