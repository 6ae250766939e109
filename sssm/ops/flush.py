"""Where a decaying state becomes exact silence."""

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-18
"""Magnitude below which a state's number is replaced by zero.

Far below what any output can show (float32 resolves 1e-7 of full scale), far above the subnormal
numbers (1e-38) that slow a processor down a hundredfold; its square is above them too.
"""


def flush(h: Tensor) -> Tensor:
    """`h` with numbers smaller than `TINY` replaced by zero, real and imaginary parts each.

    The gradient is that of the identity: a state at zero still learns what it would become.
    """
    if h.is_complex():
        return torch.view_as_complex(flush(torch.view_as_real(h)))
    if not torch.is_grad_enabled():
        return F.hardshrink(h, TINY)  # one pass over memory, where there is no gradient to keep
    return h - torch.where(h.abs() < TINY, h, 0).detach()
