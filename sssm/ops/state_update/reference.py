"""Definition of the selective model, one time step at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor


def state_update_reference(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    h: Tensor,
    leak: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.state_update.state_update`, without the exact silence."""
    dA = torch.exp(dt[..., None] * A - leak)  # (batch, D, N)
    dBx = (dt * x)[..., None] * B[:, None]
    h = dA * h + dBx
    y = (h @ C[..., None])[..., 0]
    if D is not None:
        y = y + D * x
    return y if z is None else y * F.silu(z), h
