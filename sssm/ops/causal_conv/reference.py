"""Definition of the causal convolution, one time step at a time."""

import torch
from torch import Tensor


def causal_conv_step(
    x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor
) -> tuple[Tensor, Tensor]:
    """One element: x (batch, D), tail (batch, width - 1, D) -> y (batch, D) and the next tail."""
    heard = torch.cat([tail, x[:, None]], dim=1)
    return (heard * weight.T).sum(dim=1) + bias, heard[:, 1:].clone()


def causal_conv_reference(
    x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.causal_conv.causal_conv`."""
    tail, ys = tail.clone(), []
    for t in range(x.shape[1]):
        y, tail = causal_conv_step(x[:, t], weight, bias, tail)
        ys.append(y)
    return torch.stack(ys, dim=1) if ys else x.clone(), tail
