"""Numbers that define a model.  Frozen: a trained model never changes its config."""

from dataclasses import asdict, dataclass, fields
from typing import Any

LAYERS = ("s4d", "s4", "mamba")

# A damaged file shall not ask for all memory.
_LARGEST = {
    "sample_rate_hz": 48_000,
    "bands": 1_024,
    "channels": 4_096,
    "state_size": 1_024,
    "depth": 64,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Shape of a keyword model.

    Attributes:
        labels: names of the classes, in the order of the output's columns.
        front: what turns samples into features at 100 Hz: "filterbank", or "samples", blocks at
            the full rate whose output is read each 10 ms.
        layer: state-space model of the blocks, "s4d", "s4" or "mamba".  S4 has no bound on its time
            constants by construction, as layers at 100 Hz need, so it goes with "samples"; Mamba
            counts in elements whatever their rate, so it goes with "filterbank".
        sample_rate_hz: of the audio that it was trained on.
        bands: K, modes of the filterbank.
        channels: H, features in the residual stream.
        state_size: N, modes a channel, one of each conjugate pair; of Mamba, real states an inner
            channel.
        depth: number of blocks.
        slowest_s: no mode of a block at 100 Hz remembers longer than this time constant, in
            seconds: two seconds of silence must leave no trace in all blocks in a row.
        dropout: probability that a channel of a block is dropped, in training.
    """

    labels: tuple[str, ...]
    front: str = "filterbank"
    layer: str = "s4d"
    sample_rate_hz: int = 16_000
    bands: int = 64
    channels: int = 128
    state_size: int = 8
    depth: int = 5
    slowest_s: float = 0.24  # as in files that do not say it
    dropout: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        # No system takes a NUL in a variable, which is how a command is told what was heard.
        if not all(isinstance(label, str) and label and "\0" not in label for label in self.labels):
            raise ValueError(f"labels must be words, got {self.labels}")
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must be distinct and at least one, got {self.labels}")
        for name, known in (("front", ("filterbank", "samples")), ("layer", LAYERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        if self.layer == "s4" and self.front == "filterbank":
            raise ValueError("layer s4 needs front samples")
        if self.layer == "mamba" and self.front == "samples":
            raise ValueError("layer mamba needs front filterbank")
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}")
        if not isinstance(self.slowest_s, float) or not 0.01 <= self.slowest_s <= 10:
            raise ValueError(f"slowest_s must be a float in [0.01, 10], got {self.slowest_s!r}")
        if not isinstance(self.dropout, float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be a float in [0, 1), got {self.dropout!r}")

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads: numbers, names and lists only."""
        return asdict(self) | {"labels": list(self.labels)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """Config of a saved model; an unknown key is an error, not a default."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        if "labels" not in values:
            raise ValueError("labels are missing")
        return cls(**values | {"labels": tuple(values["labels"])})
