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
from sssm.ops.vandermonde.parallel import factors, planes


def diagonal_ssm_parallel(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.diagonal_ssm.diagonal_ssm`, for lengths of at least 1."""
    length = x.shape[1]
    dA = dA + 1e-30 * (dA == 0)  # powers of 0 itself would have no gradient
    outer, inner = factors(dA, length)
    y = long_conv(x, vandermonde(B * C, dA, length))
    y = y + response(h0, (dA * C)[..., None] * outer, inner)[:, :length]
    decay = powers(dA, torch.full((1,), length, device=dA.device))[..., 0].to(dA.dtype)
    return y, flush(B * last_state(x, outer, inner) + decay * h0)


def response(h0: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """2 Re sum_n h0 outer_i inner_j for t = i S + j: (batch, I S, H)."""
    batch, strides = h0.shape[0], outer.shape[2]
    start = h0.transpose(0, 1)[:, :, :, None] * outer[:, None]  # (H, batch, N, I)
    left = torch.cat([start.real, -start.imag], dim=2).transpose(2, 3).flatten(1, 2)
    y = 2 * (left @ planes(inner)).unflatten(1, (batch, strides))  # (H, batch, I, S)
    return y.flatten(2).permute(1, 2, 0)


def last_state(x: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """sum_t dA^(L - 1 - t) x_t: (batch, H, N)."""
    batch, length, channels = x.shape
    strides, block = outer.shape[2], inner.shape[2]
    x = F.pad(x, (0, 0, strides * block - length, 0)).unflatten(1, (strides, block))
    x = x.permute(3, 2, 0, 1).reshape(channels, block, batch * strides)
    sums = planes(inner).flip(2) @ x  # (H, 2N, batch I)
    re, im = sums.unflatten(2, (batch, strides)).chunk(2, dim=1)  # (H, N, batch, I)
    h = torch.complex(re, im) * outer.flip(2)[:, :, None]
    return h.sum(dim=3).permute(2, 0, 1)
