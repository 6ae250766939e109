"""Power series cut off after L terms, as rows of coefficients (..., L)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """The first L coefficients of a b, both (..., L): O(L log L)."""
    length = a.shape[-1]
    spectrum = torch.fft.rfft(a, 2 * length) * torch.fft.rfft(b, 2 * length)
    return torch.fft.irfft(spectrum, 2 * length)[..., :length]


def reciprocal(a: Tensor) -> Tensor:
    """The first L coefficients of 1 / a, which has a[..., 0] != 0, by Newton's iteration.

    Each turn makes twice as many coefficients right.  One turn more, from a start taken for a
    constant, changes no number and has the gradient of the result, -1 / a^2, alone to remember.

    Source: Kung 1974, "On computing reciprocals of power series", Numerische Mathematik 22.
    """
    with torch.no_grad():
        inverse, right = 1 / a[..., :1], 1
        while right < a.shape[-1]:
            right = min(2 * right, a.shape[-1])
            inverse = F.pad(inverse, (0, right - inverse.shape[-1]))
            inverse = _improved(inverse, a[..., :right])
    return _improved(inverse, a)


def _improved(inverse: Tensor, a: Tensor) -> Tensor:
    return 2 * inverse - multiply(inverse, multiply(inverse, a))
