"""The Cauchy product as batched matrix products, a block of nodes at a time.

A block's 1 / (z - w) is made, used by all products, and dropped: memory never holds (H, N, L).
Conjugates are made with `conj_physical`: in the body of a custom operator under `torch.compile`,
torch 2.13 forgets a conjugation that it meant to do later.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_NUMBERS = 1 << 18
"""Complex numbers of 1 / (z - w) made at a time: 4 MiB in complex128, which a cache can hold."""


def cauchy_parallel(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Same contract as `sssm.ops.cauchy.cauchy`."""
    residues = _pairs(v).transpose(0, 1)  # (H, products, 2 N)
    total = v.new_empty(v.shape[1], v.shape[0], z.shape[0])
    for nodes in _blocks(z, w):
        torch.bmm(residues, _reciprocals(z[nodes], w), out=total[:, :, nodes])
    return total.transpose(0, 1).contiguous()


def cauchy_backward(
    v: Tensor, z: Tensor, w: Tensor, dtotal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of v, z and w; the reciprocals are made again, not kept.

    d/dw v / (z - w) = v / (z - w)^2 = -d/dz.  A pole and its conjugate are one parameter, so the
    gradients of the second half of the pairs come back conjugated.
    """
    residues = _pairs(v).transpose(0, 1)
    dtotal = dtotal.transpose(0, 1)  # (H, products, L)
    dresidues, dpoles = torch.zeros_like(residues), torch.zeros_like(residues)
    dz = torch.empty_like(z)
    for nodes in _blocks(z, w):
        near = _reciprocals(z[nodes], w).conj_physical()
        dresidues += dtotal[:, :, nodes] @ near.mT
        near = near.square()
        dpoles += dtotal[:, :, nodes] @ near.mT
        dz[nodes] = -(dtotal[:, :, nodes] * (residues.conj_physical() @ near)).sum(dim=(0, 1))
    dpoles = (dpoles * residues.conj_physical()).sum(dim=1)
    return _unpair(dresidues).transpose(0, 1).contiguous(), dz, _unpair(dpoles)


def _blocks(z: Tensor, w: Tensor) -> Iterator[slice]:
    size = max(1, BLOCK_NUMBERS // max(1, 2 * w.numel()))
    return (slice(start, start + size) for start in range(0, z.shape[0], size))


def _reciprocals(z: Tensor, w: Tensor) -> Tensor:
    """1 / (z - w) for every pole, then for every conjugate: (H, 2 N, nodes)."""
    return torch.reciprocal(z - _pairs(w)[:, :, None])


def _pairs(half: Tensor) -> Tensor:
    return torch.cat([half, half.conj_physical()], dim=-1)


def _unpair(gradient: Tensor) -> Tensor:
    first, second = gradient.chunk(2, dim=-1)
    return first + second.conj_physical()
