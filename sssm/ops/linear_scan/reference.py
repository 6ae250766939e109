"""Definition of the linear scan, one element after the other, in any dtype."""

import torch
from torch import Tensor


def linear_scan_step(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """The next state, a h + b; all (batch, lanes)."""
    return a * h + b


def linear_scan_reference(a: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.linear_scan.linear_scan`."""
    h, states = h0.clone(), []
    for t in range(a.shape[1]):
        h = linear_scan_step(a[:, t], b[:, t], h)
        states.append(h)
    return (torch.stack(states, dim=1) if states else torch.zeros_like(b)), h
