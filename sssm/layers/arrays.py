"""A layer's numbers as NumPy arrays, for what runs a model without its layers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def array(x: Any) -> Array:
    """Numbers of a tensor, in an array of its own."""
    return np.array(x.detach().numpy(), np.float32, order="C")


def linear(layer: Any) -> tuple[Array, Array]:
    """Weight (I, O) and bias (O,) of a linear layer."""
    return array(layer.weight.T), array(layer.bias)
