"""Definition of the causal convolution, one output at a time."""

import torch
from torch import Tensor


def long_conv_reference(x: Tensor, K: Tensor) -> Tensor:
    """Same contract as `sssm.ops.long_conv.long_conv`."""
    reversed_K = K.flip(1).T  # (L, H)
    length = x.shape[1]
    rows = [(x[:, : t + 1] * reversed_K[length - 1 - t :]).sum(dim=1) for t in range(length)]
    return torch.stack(rows, dim=1) if rows else x.clone()
