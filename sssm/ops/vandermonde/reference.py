"""Definition of the Vandermonde product, one power after the other."""

import torch
from torch import Tensor


def vandermonde_reference(C: Tensor, dA: Tensor, length: int) -> Tensor:
    """Same contract as `sssm.ops.vandermonde.vandermonde`."""
    term, rows = C, []
    for _ in range(length):
        rows.append(2 * term.real.sum(dim=1))
        term = term * dA
    return torch.stack(rows, dim=1) if rows else 2 * C.real[:, :0]
