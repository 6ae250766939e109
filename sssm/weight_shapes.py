"""Whether a file's arrays are the weights of the model that its card describes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sssm.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor


def compare_size(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse a config that asks for far more weights than there are.

    Raises:
        ValueError: it does.
    """
    H = config.channels
    wanted = config.depth * (2 * H * H + 2 * H * config.state_size)
    wanted += config.bands if config.front == "filterbank" else 0
    held = sum(value.size for value in arrays.values())
    if wanted > held:
        raise ValueError(f"its config asks for {wanted:,} weights, it holds {held:,}")


def compare(expected: Mapping[str, "Tensor"], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that are not those expected, by name, shape and type.

    Raises:
        ValueError: one is missing, unknown, of another shape or not float32.
    """
    for name, value in expected.items():
        if name not in arrays:
            raise ValueError(f"weight {name} is missing")
        got, shape = arrays[name].shape, tuple(value.shape)
        if got != shape:
            raise ValueError(f"weight {name} has shape {got}, expected {shape}")
        if arrays[name].dtype != np.float32:
            raise ValueError(f"weight {name} is {arrays[name].dtype}, not float32")
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise ValueError(f"unknown weight {unknown[0]!r}")
