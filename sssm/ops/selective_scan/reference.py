"""Definition of the selective scan: its step, in a loop over time."""

import torch
from torch import Tensor

from sssm.ops.state_update.reference import state_update_reference


def selective_scan_reference(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    leak: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.selective_scan.selective_scan`."""
    h = x.new_zeros(x.shape[0], *A.shape) if h0 is None else h0.clone()
    ys = []
    for t in range(x.shape[1]):
        gate = None if z is None else z[:, t]
        y, h = state_update_reference(x[:, t], dt[:, t], A, B[:, t], C[:, t], D, gate, h, leak)
        ys.append(y)
    return torch.stack(ys, dim=1) if ys else x.clone(), h
