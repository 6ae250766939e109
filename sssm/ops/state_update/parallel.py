"""One step of the selective model in plain PyTorch, and its adjoint written out."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sssm.ops.flush import flush
from sssm.ops.state_update.reference import state_update_reference


def state_update_parallel(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Same contract as `sssm.ops.state_update.state_update`."""
    y, h = state_update_reference(x, dt, A, B, C, D, z, h, leak)
    return y, flush(h)


def state_update_backward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of x, dt, A, B, C, D, z and h; of no elements where there is no D or z."""
    decay = torch.exp(dt[..., None] * A - leak)
    after = decay * h + (dt * x)[..., None] * B[:, None]
    dD, dz = A.new_empty(0), x.new_empty(0)
    if z is not None:
        y = (after * C[:, None]).sum(dim=2) + (0 if D is None else D * x)
        gate = torch.sigmoid(z)
        dz = dy * y * gate * (1 + z * (1 - gate))
        dy = dy * F.silu(z)
    dC = (after * dy[..., None]).sum(dim=1)
    dh = dh + dy[..., None] * C[:, None]
    dB = (dh * (dt * x)[..., None]).sum(dim=1)
    du = (dh * B[:, None]).sum(dim=2)
    dh = dh * decay
    slope = dh * h
    ddt, dA = du * x + (slope * A).sum(dim=2), (slope * dt[..., None]).sum(dim=0)
    dx = du * dt
    if D is not None:
        dx, dD = dx + dy * D, (dy * x).sum(dim=0)
    return dx, ddt, dA, dB, dC, dD, dz, dh
