"""Definition of the reciprocal of a power series, one coefficient at a time."""

import torch
from torch import Tensor


def series_reciprocal_reference(a: Tensor) -> Tensor:
    """Same contract as `sssm.ops.series_reciprocal.series_reciprocal`.

    The coefficients of the product, sum_k a_k b_(n - k), are 0 for n > 0.
    """
    found = [1 / a[..., 0]]
    for n in range(1, a.shape[-1]):
        before = torch.stack(found[::-1], dim=-1)
        found.append(-(a[..., 1 : n + 1] * before).sum(dim=-1) / a[..., 0])
    return torch.stack(found, dim=-1)
