"""Sums of so many elements each, of a sequence that comes in pieces."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sums_of(x: Tensor, size: int, pending: int, partial: Tensor) -> tuple[Tensor, Tensor]:
    """The sums that are complete, (batch, sums, K), and the sum of what is left (batch, K).

    Args:
        x: (batch, length, K) the next elements; length 0 is a chunk too.
        size: elements of a sum.
        pending: elements of the first sum that came before, fewer than `size`.
        partial: (batch, K) their sum.
    """
    if x.shape[1] == 0:
        return x, partial.clone()
    count = pending + x.shape[1]
    rows = F.pad(x, (0, 0, pending, -count % size))
    sums = rows.unflatten(1, (-1, size)).sum(dim=2)
    sums = torch.cat([sums[:, :1] + partial[:, None], sums[:, 1:]], dim=1)
    whole = count // size
    rest = sums[:, whole].clone() if whole < sums.shape[1] else torch.zeros_like(partial)
    return sums[:, :whole], rest
