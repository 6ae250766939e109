"""The Vandermonde product as one batched matrix product.

With l = i S + j the power splits, dA^l = dA^(i S) dA^j, so that

    K[h, i S + j] = 2 Re sum_n (C[h, n] dA[h, n]^(i S)) dA[h, n]^j

is a real product (I x 2N) by (2N x S) a channel: memory O(H N sqrt(L) + H L), never (H, N, L).
"""

import torch
from torch import Tensor

from sssm.math.powers import powers


def vandermonde_parallel(C: Tensor, dA: Tensor, length: int) -> Tensor:
    """Same contract as `sssm.ops.vandermonde.vandermonde`."""
    outer, inner = _factors(dA, length)
    outer = C[..., None] * outer
    left = torch.cat([outer.real, -outer.imag], dim=1).transpose(1, 2)  # (H, I, 2N)
    right = torch.cat([inner.real, inner.imag], dim=1)  # (H, 2N, S)
    return 2 * (left @ right).flatten(1)[:, :length]


def vandermonde_backward(C: Tensor, dA: Tensor, dK: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of C and dA; the powers are made again, not kept."""
    outer, inner = _factors(dA, dK.shape[1])
    strides, block = outer.shape[2], inner.shape[2]
    padded = dK.new_zeros(dK.shape[0], strides * block)
    padded[:, : dK.shape[1]] = 2 * dK
    grid = padded.unflatten(1, (strides, block)).to(C.dtype)  # (H, I, S)
    # conj_physical: a lazy conj() in here gives wrong numbers under torch.compile
    outer_, inner_ = outer.conj_physical(), inner.conj_physical()
    douter = inner_ @ grid.transpose(1, 2)  # (H, N, I)
    dinner = C.conj_physical()[..., None] * outer_ @ grid  # (H, N, S)
    dC = (douter * outer_).sum(dim=2)
    # d dA^p / d dA = p dA^p / dA, for both factors
    j = torch.arange(block, device=dA.device)
    i = torch.arange(strides, device=dA.device) * block
    slope = (dinner * (j * inner_)).sum(dim=2)
    slope = slope + C.conj_physical() * (douter * (i * outer_)).sum(dim=2)
    return dC, slope / dA.conj_physical()


def _factors(dA: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """dA^(i S) (H, N, I) and dA^j (H, N, S), with S about the root of the length."""
    block = max(1, int(length**0.5))
    strides = -(-length // block)
    j = torch.arange(block, device=dA.device)
    i = torch.arange(strides, device=dA.device) * block
    return powers(dA, i).to(dA.dtype), powers(dA, j).to(dA.dtype)
