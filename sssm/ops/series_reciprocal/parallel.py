"""Newton's iteration, every turn of which makes twice as many coefficients right: O(L log L).

Source: Kung 1974, "On computing reciprocals of power series", Numerische Mathematik 22.
"""

import torch
from torch import Tensor


def series_reciprocal_parallel(a: Tensor) -> Tensor:
    """Same contract as `sssm.ops.series_reciprocal.series_reciprocal`."""
    lengths = [a.shape[-1]]
    while lengths[-1] > 1:
        lengths.append((lengths[-1] + 1) // 2)
    inverse = 1 / a[..., :1]
    for length in lengths[-2::-1]:
        inverse = _extended(inverse, a[..., :length])
    return inverse


def series_reciprocal_backward(inverse: Tensor, dy: Tensor) -> Tensor:
    """Gradient of a: the adjoint of multiplying by -1 / a, and then by 1 / a."""
    length = inverse.shape[-1]
    # conj_physical: a lazy conj() in here gives wrong numbers under torch.compile
    spectrum = torch.fft.rfft(inverse, 2 * length).conj_physical()
    for _ in range(2):
        dy = torch.fft.irfft(torch.fft.rfft(dy, 2 * length) * spectrum, 2 * length)[..., :length]
    return -dy


def _extended(inverse: Tensor, a: Tensor) -> Tensor:
    """1 / a, of which the first half of the coefficients, or one more, is `inverse`.

    The product of both is 1, then zeros as far as `inverse` goes, then what is wrong.  It is half
    as long again as a, so that in a transform no longer than a its end wraps around onto the zeros.
    """
    right, length = inverse.shape[-1], a.shape[-1]
    period = 2 * right
    spectrum = torch.fft.rfft(inverse, period)
    wrong = torch.fft.irfft(spectrum * torch.fft.rfft(a, period), period)[..., right:length]
    others = torch.fft.irfft(spectrum * torch.fft.rfft(wrong, period), period)
    return torch.cat([inverse, -others[..., : length - right]], dim=-1)
