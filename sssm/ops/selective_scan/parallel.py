"""The selective scan in plain PyTorch, for any device: all chunks at once, element by element.

A product of decays is the exponential of a sum of steps, so the state at the end of a chunk is
known from the chunk's own input and one decay of its first state.  Three loops of about the root
of the length each stand in for one over the length: ends of chunks from silence, the first state of
every chunk, and all elements from there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sssm.ops.flush import flush


def selective_scan_parallel(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    h0: Tensor, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Same contract as `sssm.ops.selective_scan.selective_scan`, for lengths of at least 1."""
    length = x.shape[1]
    size = max(1, int(length**0.5))
    whole = length // size * size
    parts = [part[:, :whole].unflatten(1, (-1, size)) for part in (x, dt, B, C)]
    y, h = _chunks(parts, A, h0, leak)
    if whole < length:
        rest = [part[:, None, whole:] for part in (x, dt, B, C)]
        last, h = _chunks(rest, A, h, leak)
        y = torch.cat([y, last], dim=1)
    y = y + D * x
    return y if z is None else y * F.silu(z), flush(h)


def _chunks(parts: list[Tensor], A: Tensor, h0: Tensor, leak: float) -> tuple[Tensor, Tensor]:
    """Chunks of one length: x, dt, B, C (batch, chunks, S, .) -> y (batch, chunks S, D), state."""
    x, dt, B, C = parts
    size = x.shape[2]

    def advance(h: Tensor, t: int) -> Tensor:
        dBx = (dt[:, :, t] * x[:, :, t])[..., None] * B[:, :, t, None]
        return torch.exp(dt[:, :, t, :, None] * A - leak) * h + dBx

    ends = torch.zeros_like(h0)[:, None]
    for t in range(size):
        ends = advance(ends, t)
    decays = torch.exp(dt.sum(dim=2)[..., None] * A - size * leak)  # (batch, chunks, D, N)

    starts, h = [], h0
    for chunk in range(x.shape[1]):
        starts.append(h)
        h = decays[:, chunk] * h + ends[:, chunk]

    states, ys = torch.stack(starts, dim=1), []
    for t in range(size):
        states = advance(states, t)
        ys.append((states @ C[:, :, t, :, None])[..., 0])
    return torch.stack(ys, dim=2).flatten(1, 2), h
