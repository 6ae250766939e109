"""Definition of a diagonal state-space model, one time step at a time."""

import torch
from torch import Tensor


def diagonal_ssm_step(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """One element: x (batch, H), h (batch, H, N) -> y (batch, H) and the next state."""
    h = dA * h + B * x[..., None]
    return 2 * (C * h).real.sum(dim=-1), h


def diagonal_ssm_reference(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.diagonal_ssm.diagonal_ssm`."""
    h, ys = h0.clone(), []
    for t in range(x.shape[1]):
        y, h = diagonal_ssm_step(x[:, t], dA, B, C, h)
        ys.append(y)
    return torch.stack(ys, dim=1) if ys else x.clone(), h
