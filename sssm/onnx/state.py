"""A state tensor of an exported model."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class State(NamedTuple):
    """Its name, its shape after the batch axis, and what it starts with."""

    name: str
    shape: tuple[int, ...]
    fill: float | NDArray[np.float32] = 0.0  # one number, or all of a row


Fill = float | list[Any]
"""A start as JSON keeps it: a number, or nested lists of a row's."""


def rounded(fill: float | NDArray[np.float32]) -> Fill:
    """A start in seven digits, as many as float32 has, which JSON would write as twenty."""
    if isinstance(fill, float):
        return fill
    numbers: Fill = np.array([float(f"{x:.7g}") for x in fill.flat]).reshape(fill.shape).tolist()
    return numbers
