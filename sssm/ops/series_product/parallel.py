"""The product by the FFT of every device's own library, O(L log L), and its adjoint."""

import torch
from torch import Tensor


def series_product_parallel(a: Tensor, b: Tensor) -> Tensor:
    """Same contract as `sssm.ops.series_product.series_product`."""
    length = a.shape[-1]
    spectrum = torch.fft.rfft(a, 2 * length) * torch.fft.rfft(b, 2 * length)
    return torch.fft.irfft(spectrum, 2 * length)[..., :length].contiguous()


def correlation(c: Tensor, a: Tensor) -> Tensor:
    """sum_(l >= k) c_l a_(l - k), all (..., L)."""
    length = a.shape[-1]
    # conj_physical: a lazy conj() in here gives wrong numbers under torch.compile
    spectrum = torch.fft.rfft(c, 2 * length) * torch.fft.rfft(a, 2 * length).conj_physical()
    return torch.fft.irfft(spectrum, 2 * length)[..., :length].contiguous()
