"""Definition of the product of two power series, one coefficient at a time."""

import torch
from torch import Tensor


def series_product_reference(a: Tensor, b: Tensor) -> Tensor:
    """Same contract as `sssm.ops.series_product.series_product`."""
    length = a.shape[-1]
    products = [(a[..., : n + 1] * b[..., : n + 1].flip(-1)).sum(dim=-1) for n in range(length)]
    return torch.stack(products, dim=-1)
