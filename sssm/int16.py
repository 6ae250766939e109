"""Samples as 16-bit integers, and as floats in [-1, 1): 32,768 of the ones is 1 of the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_float(x: NDArray[np.integer]) -> NDArray[np.float32]:
    """int16 to float32."""
    return x.astype(np.float32) / np.float32(32_768)


def as_int16(x: NDArray[Any]) -> NDArray[np.int16]:
    """Floats to int16, rounded, and cut at full scale."""
    return np.clip(np.rint(x * 32_768), -32_768, 32_767).astype(np.int16)
