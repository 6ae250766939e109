"""Two ways to convolve at once: a matrix product for short sequences, an FFT for long ones."""

import torch
import torch.nn.functional as F
from torch import Tensor


def toeplitz_conv(x: Tensor, K: Tensor) -> Tensor:
    """By the Toeplitz matrix T[t, s] = K[t - s] of every channel: O(L^2), but one product."""
    return _turned(_toeplitz(K) @ _turned(x))


def toeplitz_conv_backward(x: Tensor, K: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x (the transposed product) and of K (sums along the diagonals of dy x^T)."""
    length = K.shape[1]
    dY = _turned(dy)
    dx = _turned(_toeplitz(K).transpose(1, 2) @ dY)
    dT = F.pad(dY @ _turned(x).transpose(1, 2), (0, length - 1))
    line = F.pad(dT.flatten(1), (0, length)).unflatten(1, (length, -1)).sum(dim=1)
    return dx, torch.cat([line[:, :1], line[:, length + 1 :].flip(1)], dim=1)


def fft_conv(x: Tensor, K: Tensor) -> Tensor:
    """By the convolution theorem, padded so that nothing wraps around: O(L log L)."""
    length = x.shape[1]
    spectrum = _spectrum(x).mul_(_spectrum(K.T))
    y = torch.fft.irfft(spectrum, _padded(length), dim=-2)[:, :length].contiguous()
    return y.to(x.dtype)


def fft_conv_backward(x: Tensor, K: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and K, correlations both; the spectra are made again, not kept.

    PyTorch's own gradient of a real transform is a complex one, twice the work.
    """
    length = x.shape[1]
    dY = _spectrum(dy)
    # conj_physical: a lazy conj() in here gives wrong numbers under torch.compile
    dK = (dY * _spectrum(x).conj_physical()).sum(dim=0)
    dX = dY.mul_(_spectrum(K.T).conj_physical())
    dx, dK = (torch.fft.irfft(part, _padded(length), dim=-2) for part in (dX, dK))
    dx, dK = dx[:, :length].contiguous(), dK[:length].T.contiguous()
    return dx.to(x.dtype), dK.to(K.dtype)


def _spectrum(x: Tensor) -> Tensor:
    """Transform of (..., length, H) over time; half precision has none, so it is of float32."""
    x = x.float() if x.dtype.itemsize == 2 else x
    return torch.fft.rfft(x, _padded(x.shape[-2]), dim=-2)


def _padded(length: int) -> int:
    return 1 << (2 * length - 1).bit_length()


def _toeplitz(K: Tensor) -> Tensor:
    """(H, L) -> (H, L, L) lower triangular.

    Rows of 2L - 1 numbers cut from a line of period 2L shift by one each: no gather, no scatter.
    """
    channels, length = K.shape
    line = torch.cat([K[:, :1], K.new_zeros(channels, length), K[:, 1:].flip(1)], dim=1)
    rows = line[:, None].expand(channels, length, 2 * length).flatten(1)
    return rows[:, : length * (2 * length - 1)].unflatten(1, (length, -1))[:, :, :length]


def _turned(x: Tensor) -> Tensor:
    """(batch, length, H) -> (H, length, batch), or back.

    A copy, as a batched product would copy each matrix that is contiguous in neither dimension.
    """
    return x.permute(2, 1, 0).contiguous()
