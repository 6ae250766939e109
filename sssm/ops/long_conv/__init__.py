"""Causal convolution of every channel with a kernel as long as the sequence.

The FFT and the matrix products of every device's own library: no kernel here would beat them.
"""

import torch
from torch import Tensor

from sssm.ops.long_conv import parallel
from sssm.ops.long_conv.reference import long_conv_reference
from sssm.ops.operator import Operator, require_real

__all__ = ["long_conv", "long_conv_reference"]

SHORT = 256
"""Longest sequence for which the matrix product beats the FFT on a CPU."""


_toeplitz = Operator("toeplitz_conv", parallel.toeplitz_conv)
_toeplitz_backward = Operator("toeplitz_conv_backward", parallel.toeplitz_conv_backward)
_fft = Operator("fft_conv", parallel.fft_conv)
_fft_backward = Operator("fft_conv_backward", parallel.fft_conv_backward)


def _fake(x: Tensor, K: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _fake_backward(x: Tensor, K: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), K.new_empty(K.shape)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _register(forward: Operator, backward: Operator) -> None:
    forward.register_fake(_fake)
    backward.register_fake(_fake_backward)
    forward.register_autograd(lambda ctx, dy: backward(*ctx.saved_tensors, dy), setup_context=_save)


_register(_toeplitz, _toeplitz_backward)
_register(_fft, _fft_backward)
_toeplitz.register_kernel("cuda", parallel.toeplitz_conv)
_toeplitz_backward.register_kernel("cuda", parallel.toeplitz_conv_backward)
_fft.register_kernel("cuda", parallel.fft_conv)
_fft_backward.register_kernel("cuda", parallel.fft_conv_backward)


def long_conv(x: Tensor, K: Tensor) -> Tensor:
    """y[:, t, h] = sum_(s <= t) K[h, t - s] x[:, s, h].

    Args:
        x: (batch, length, H) real.
        K: (H, length) real, K[h, 0] weighs the present.

    Returns:
        (batch, length, H), of the type of x; what is between is of the wider one of x and K.

    Raises:
        ValueError: shapes do not agree, or numbers are of another kind.

    Source: Gu et al. 2021, arXiv:2111.00396, equation 4.
    """
    if x.dim() != 3 or K.shape != (x.shape[2], x.shape[1]):
        raise ValueError(
            f"need x (batch, length, H) and K (H, length); "
            f"got x {tuple(x.shape)}, K {tuple(K.shape)}"
        )
    require_real(x, K)
    if x.numel() == 0:  # of no rows there is no FFT
        return x * K.sum()  # a clone, with K's gradient: zeros
    wide, conv = torch.promote_types(x.dtype, K.dtype), _toeplitz if x.shape[1] <= SHORT else _fft
    with torch.autocast(x.device.type, enabled=False):
        return conv(x.to(wide), K.to(wide)).to(x.dtype)
