"""Powers of one rounded number, as the recurrence repeats it."""

import torch
from torch import Tensor


def powers(a: Tensor, exponents: Tensor) -> Tensor:
    """Powers a ** exponents, logarithm and phase in float64: (..., exponents) complex128.

    A recurrence multiplies by one rounded `a` again and again; exact exp(l dt A) drifts from that
    within a thousand steps.  So a parallel form raises the rounded number itself.

    Args:
        a: (...) real positive or complex; zero is taken for 1e-300, so that 0 ** 0 is one.
        exponents: (exponents,) integers.
    """
    a = a.to(torch.complex128)
    a = torch.where(a == 0, torch.full_like(a, 1e-300), a)
    return torch.exp(torch.log(a)[..., None] * exponents.to(torch.float64))
