"""Definition of the Cauchy product, pole by pole, in any complex dtype."""

import torch
from torch import Tensor


def cauchy_reference(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Same contract as `sssm.ops.cauchy.cauchy`."""
    total = torch.zeros(*v.shape[:2], z.shape[0], dtype=v.dtype, device=v.device)
    for n in range(v.shape[2]):
        residue, pole = v[:, :, n, None], w[:, n, None]
        total = total + residue / (z - pole) + residue.conj() / (z - pole.conj())
    return total
