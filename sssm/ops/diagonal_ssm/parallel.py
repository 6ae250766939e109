"""The diagonal model as a convolution, and the two ends of its state by factored powers.

With t = i S + j the power dA^t is dA^(i S) dA^j (see `vandermonde`), so that neither the response
to the first state nor the last state needs a table of all powers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sssm.math.powers import powers
from sssm.ops.flush import flush
from sssm.ops.long_conv import long_conv
from sssm.ops.vandermonde import vandermonde


def diagonal_ssm_parallel(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.diagonal_ssm.diagonal_ssm`, for lengths of at least 1."""
    length = x.shape[1]
    y = long_conv(x, vandermonde(B * C, dA, length)) + response(h0, dA, C, length)
    decay = powers(dA, torch.tensor([length], device=dA.device))[..., 0].to(dA.dtype)
    return y, flush(last_state(x, dA, B) + decay * h0)


def response(h0: Tensor, dA: Tensor, C: Tensor, length: int) -> Tensor:
    """2 Re sum_n C dA^(t + 1) h0 for t = 0 .. length - 1: (batch, length, H)."""
    block, strides = _split(length)
    inner = powers(dA, _count(block, dA) + 1).to(dA.dtype)  # (H, N, S)
    outer = powers(dA, _count(strides, dA) * block).to(dA.dtype) * C[..., None]  # (H, N, I)
    start = h0.permute(1, 0, 2)[:, :, None] * outer.permute(0, 2, 1)[:, None]  # (H, batch, I, N)
    left = torch.cat([start.real, -start.imag], dim=3).flatten(1, 2)
    right = torch.cat([inner.real, inner.imag], dim=1)
    y = 2 * (left @ right).unflatten(1, (h0.shape[0], strides)).flatten(2)  # (H, batch, I S)
    return y[:, :, :length].permute(1, 2, 0)


def last_state(x: Tensor, dA: Tensor, B: Tensor) -> Tensor:
    """sum_t dA^(L - 1 - t) B x_t: (batch, H, N)."""
    batch, length, channels = x.shape
    block, strides = _split(length)
    inner = powers(dA, _count(block, dA).flip(0)).to(dA.dtype)
    outer = powers(dA, _count(strides, dA).flip(0) * block).to(dA.dtype)
    x = F.pad(x, (0, 0, strides * block - length, 0)).unflatten(1, (strides, block))
    x = x.permute(3, 0, 1, 2).reshape(channels, batch * strides, block)
    right = torch.cat([inner.real, inner.imag], dim=1).transpose(1, 2)  # (H, S, 2N)
    sums = (x @ right).unflatten(1, (batch, strides)).unflatten(3, (2, -1))
    h = torch.complex(sums[:, :, :, 0].contiguous(), sums[:, :, :, 1].contiguous())
    return B * (h * outer.permute(0, 2, 1)[:, None]).sum(dim=2).transpose(0, 1)


def _count(stop: int, beside: Tensor) -> Tensor:
    """0 .. stop - 1 on the device of `beside`."""
    return torch.arange(stop, device=beside.device)


def _split(length: int) -> tuple[int, int]:
    """Block length S, about the root of the length, and the number of blocks that cover it."""
    block = max(1, int(length**0.5))
    return block, -(-length // block)
