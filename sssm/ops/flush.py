"""Where a decaying state becomes exact silence."""

import torch
from torch import Tensor

TINY = 1e-18
"""Magnitude below which a state's number is replaced by zero.

Far below what any output can show (float32 resolves 1e-7 of full scale), far above the subnormal
numbers (1e-38) that slow a processor down a hundredfold.
"""


def flush(h: Tensor) -> Tensor:
    """`h` with numbers smaller than `TINY` replaced by zero."""
    return torch.where(h.abs() < TINY, torch.zeros_like(h), h)
