"""What an exported file says of itself: its metadata, each value as JSON.

`labels, thresholds, detector, sample_rate_hz, hop_samples, unit, states, modes, format_version,
model, licence, training_data, accuracy`, and `clip_offset`, by which a whole recording is answered,
`cost`, which needs torch to be worked out, and `checksum`, see `sssm.onnx.checksum`.  A program
needs nothing beside the file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sssm.onnx.checksum import ZEROS
from sssm.onnx.modes import Modes
from sssm.onnx.state import Fill

FORMAT_VERSION = 3
UNITS = ("sample", "frame", "chunk")


class StateTensor(NamedTuple):
    """A state: names of its input and output, its shape with "batch" for the rows, its start.

    What it starts with is one number or those of a row, as `numpy.full` takes them.
    """

    input: str
    output: str
    shape: tuple[int | str, ...]
    dtype: str
    fill: Fill

    def start(self, rows: int) -> NDArray[Any]:
        """Its numbers before anything was heard."""
        shape = [rows if isinstance(axis, str) else axis for axis in self.shape]
        return np.full(shape, self.fill, self.dtype)


@dataclass(frozen=True, kw_only=True)
class OnnxCard:
    """The metadata of a file.

    Attributes:
        labels: names of the columns of scores.
        thresholds, detector: as in `sssm.weights.ModelCard`.
        sample_rate_hz: of the audio, if the caller hands in no other bank.
        hop_samples: from one decision to the next.
        unit: what one call consumes.
        states: in the order of the file.
        modes: of the filterbank, if there is one.
        model: fingerprint of the model that the file was made from.
        licence, training_data, accuracy: of the weights.
        clip_offset: a label's offset in the answer for a whole recording.
        cost: of the model, see `sssm.cost.Cost`.
    """

    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    detector: Mapping[str, Any]
    sample_rate_hz: int
    hop_samples: float
    unit: str
    states: tuple[StateTensor, ...]
    modes: Modes | None
    model: str
    licence: str
    training_data: str
    accuracy: Mapping[str, Any]
    clip_offset: tuple[float, ...]
    cost: Mapping[str, int]

    def to_metadata(self) -> dict[str, str]:
        """Strings for the file, and the place of its checksum."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {
            "format_version": FORMAT_VERSION,
            "states": [state._asdict() for state in self.states],
            "modes": self.modes.to_json() if self.modes else None,
            "checksum": ZEROS,
        }
        return {key: json.dumps(value, separators=(",", ":")) for key, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """The card of a file whose checksum was right.

        Raises:
            ValueError: the metadata is not that of a file of this version.
        """
        try:
            values = {key: json.loads(text) for key, text in metadata.items()}
        except (ValueError, RecursionError):
            raise ValueError("its metadata is not JSON") from None
        version = values.pop("format_version", None)
        if version is None:
            raise ValueError("not a model of sssm: format_version is missing")
        if version != FORMAT_VERSION:
            raise ValueError(f"format version {version}, this program reads {FORMAT_VERSION}")
        wanted = {"checksum", *(field.name for field in fields(cls))}
        missing, unknown = wanted - values.keys(), values.keys() - wanted
        if missing:
            raise ValueError(f"its metadata is damaged: {min(missing)} is missing")
        if unknown:
            raise ValueError(f"its metadata is damaged: {min(unknown)} is unknown")
        del values["checksum"]  # of the file, not of the model
        try:
            values["states"] = tuple(
                StateTensor(**state | {"shape": tuple(state["shape"])})
                for state in values["states"]
            )
            if values["modes"] is not None:
                values["modes"] = Modes.from_json(values["modes"])
            if not (values["labels"] and values["states"] and values["sample_rate_hz"] > 0):
                raise ValueError("no labels, no states or no rate")
            values["labels"], values["clip_offset"] = (
                tuple(values[name]) for name in ("labels", "clip_offset")
            )
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"its metadata is damaged: {error}") from None
