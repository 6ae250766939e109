"""The Vandermonde product as one batched matrix product.

With l = i S + j the power splits, dA^l = dA^(i S) dA^j, so that

    K[h, i S + j] = 2 Re sum_n (C[h, n] dA[h, n]^(i S)) dA[h, n]^j

is a real product (I x 2N) by (2N x S) a channel.  Some channels at a time: memory O(H L) and what a
cache can hold, never (H, N, L).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sssm.math.powers import powers

TABLE_NUMBERS = {"cpu": 1 << 16, "cuda": 1 << 23}
"""Complex numbers of one factor made at a time: in complex128 1 MiB for a cache, 128 for a GPU."""


def vandermonde_parallel(C: Tensor, dA: Tensor, length: int) -> Tensor:
    """Same contract as `sssm.ops.vandermonde.vandermonde`."""
    K = C.new_empty(C.shape[0], length, dtype=C.dtype.to_real())
    for some in _blocks(dA, length):
        K[some] = _kernel(C[some], dA[some], length)
    return K


def vandermonde_backward(C: Tensor, dA: Tensor, dK: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of C and dA; the powers are made again, not kept."""
    dC, ddA = (t.new_empty(t.shape) for t in (C, dA))
    for some in _blocks(dA, dK.shape[1]):
        dC[some], ddA[some] = _gradients(C[some], dA[some], dK[some])
    return dC, ddA


def _kernel(C: Tensor, dA: Tensor, length: int) -> Tensor:
    outer, inner = factors(dA, length)
    outer = C[..., None] * outer
    left = torch.cat([outer.real, -outer.imag], dim=1).transpose(1, 2)  # (H, I, 2N)
    return 2 * (left @ planes(inner)).flatten(1)[:, :length]


def _gradients(C: Tensor, dA: Tensor, dK: Tensor) -> tuple[Tensor, Tensor]:
    outer, inner = factors(dA, dK.shape[1])
    length, strides, block = dK.shape[1], outer.shape[2], inner.shape[2]
    # Sums of dA^l dK_l and of dA^l (l + 1) dK_(l + 1), as d dA^l / d dA = l dA^(l - 1): nothing is
    # divided by a dA that may be 0.  They are conjugates of what the gradients ask for.
    both = dK.new_zeros(dK.shape[0], 2, strides * block)
    both[:, 0, :length] = dK
    both[:, 1, : length - 1] = (torch.arange(length, device=dA.device) * dK)[:, 1:]
    grid = both.unflatten(2, (strides, block)).flatten(1, 2)  # (H, 2I, S)
    re, im = (planes(inner) @ grid.transpose(1, 2)).chunk(2, dim=1)  # (H, N, 2I)
    sums = torch.complex(re, im).unflatten(2, (2, strides)) * outer[:, :, None]
    plain, slope = (2 * sums.sum(dim=3)).unbind(dim=2)
    # conj_physical: a lazy conj() in here gives wrong numbers under torch.compile
    return plain.conj_physical(), (C * slope).conj_physical()


def planes(m: Tensor) -> Tensor:
    """(H, N, ...) complex -> (H, 2 N, ...) real."""
    return torch.cat([m.real, m.imag], dim=1)


def factors(dA: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """dA^(i S) (H, N, I) and dA^j (H, N, S): products of two powers each, as powers are dear."""
    block, strides = _split(length)
    fine, coarse = _split(block)
    few, many = _split(strides)
    ladders = ((fine, 1), (coarse, fine), (few, block), (many, few * block))
    exponents = [torch.arange(count, device=dA.device) * apart for count, apart in ladders]
    near, far, near_block, far_block = powers(dA, torch.cat(exponents)).split(
        [count for count, _ in ladders], dim=2
    )
    outer = (far_block[..., None] * near_block[:, :, None]).flatten(2)[..., :strides]
    inner = (far[..., None] * near[:, :, None]).flatten(2)[..., :block]
    return outer.to(dA.dtype), inner.to(dA.dtype)


def _split(length: int) -> tuple[int, int]:
    """S, about the root of the length, and I, so that I S covers it."""
    block = max(1, int(length**0.5))
    return block, -(-length // block)


def _blocks(dA: Tensor, length: int) -> Iterator[slice]:
    numbers = TABLE_NUMBERS.get(dA.device.type, TABLE_NUMBERS["cpu"])
    size = max(1, numbers // max(1, dA.shape[1] * _split(length)[1]))
    return (slice(start, start + size) for start in range(0, dA.shape[0], size))
