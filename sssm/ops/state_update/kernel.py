"""Triton kernels of one step of the selective model, for many streams at once.

The state is read and written once, as it lies: (batch, D, N), N next to one another.  The backward
takes the rows one after the other, so that the sums over them have one order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.flush import TINY
from sssm.ops.kernels import flushed, on_its_device, state_type

BLOCK = 16
"""Channels of one program."""


@triton.jit
def _state_update_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, h_ptr, y_ptr, next_ptr, leak_ptr, channels, N,
    SKIP: tl.constexpr, GATE: tl.constexpr, STATE: tl.constexpr, TINY: tl.constexpr,
    LINES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One row of a block of channels.

    `leak_ptr` is memory, as a number would arrive in float32, too coarse for double states.
    """
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, LINES)
    real, tile = d < channels, d[:, None] * N + n[None, :]
    inside = real[:, None] & (n[None, :] < N)
    x = tl.load(x_ptr + row * channels + d, mask=real, other=0).to(STATE)
    dt = tl.load(dt_ptr + row * channels + d, mask=real, other=0).to(STATE)
    A = tl.load(A_ptr + tile, mask=inside, other=0).to(STATE)
    B = tl.load(B_ptr + row * N + n, mask=n < N, other=0).to(STATE)
    C = tl.load(C_ptr + row * N + n, mask=n < N, other=0).to(STATE)
    h = tl.load(h_ptr + row * channels * N + tile, mask=inside, other=0).to(STATE)
    h = tl.exp(dt[:, None] * A - tl.load(leak_ptr)) * h + (dt * x)[:, None] * B[None, :]
    y = tl.sum(h * C[None, :], axis=1)
    if SKIP:
        y += tl.load(D_ptr + d, mask=real, other=0).to(STATE) * x
    if GATE:
        z = tl.load(z_ptr + row * channels + d, mask=real, other=0).to(STATE)
        y *= z / (1 + tl.exp(tl.minimum(-z, 87)))
    tl.store(y_ptr + row * channels + d, y, mask=real)
    h = flushed(h, TINY)
    tl.store(next_ptr + row * channels * N + tile, h, mask=inside)


@triton.jit
def _state_update_backward_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, h_ptr, dy_ptr, dnext_ptr,
    dx_ptr, ddt_ptr, dA_ptr, dB_ptr, dC_ptr, dD_ptr, dz_ptr, dh_ptr, leak_ptr, batch, channels, N,
    SKIP: tl.constexpr, GATE: tl.constexpr, STATE: tl.constexpr, LINES: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """All rows of a block of channels."""
    d = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, LINES)
    real, tile = d < channels, d[:, None] * N + n[None, :]
    inside = real[:, None] & (n[None, :] < N)
    A, leak = tl.load(A_ptr + tile, mask=inside, other=0).to(STATE), tl.load(leak_ptr)
    dA = tl.zeros((BLOCK, LINES), STATE)
    dD = tl.zeros((BLOCK,), STATE)
    if SKIP:
        D = tl.load(D_ptr + d, mask=real, other=0).to(STATE)
    for row in range(batch):
        line = row * channels + d
        place = line.to(tl.int64)[:, None] * N + n[None, :]
        x = tl.load(x_ptr + line, mask=real, other=0).to(STATE)
        dt = tl.load(dt_ptr + line, mask=real, other=0).to(STATE)
        dy = tl.load(dy_ptr + line, mask=real, other=0).to(STATE)
        B = tl.load(B_ptr + row * N + n, mask=n < N, other=0).to(STATE)
        C = tl.load(C_ptr + row * N + n, mask=n < N, other=0).to(STATE)
        before = tl.load(h_ptr + place, mask=inside, other=0).to(STATE)
        dh = tl.load(dnext_ptr + place, mask=inside, other=0).to(STATE)
        decay = tl.exp(dt[:, None] * A - leak)
        after = decay * before + (dt * x)[:, None] * B[None, :]
        if GATE:
            z = tl.load(z_ptr + line, mask=real, other=0).to(STATE)
            gate = 1 / (1 + tl.exp(tl.minimum(-z, 87)))
            y = tl.sum(after * C[None, :], axis=1)
            if SKIP:
                y += D * x
            tl.store(dz_ptr + line, dy * y * gate * (1 + z * (1 - gate)), mask=real)
            dy *= z * gate
        partial = (tl.program_id(0) * batch + row) * N + n
        tl.store(dC_ptr + partial, tl.sum(after * dy[:, None], axis=0), mask=n < N)
        dh += dy[:, None] * C[None, :]
        tl.store(dB_ptr + partial, tl.sum(dh * (dt * x)[:, None], axis=0), mask=n < N)
        du = tl.sum(dh * B[None, :], axis=1)
        dh *= decay
        tl.store(dh_ptr + place, dh, mask=inside)
        slope = dh * before
        dA += slope * dt[:, None]
        tl.store(ddt_ptr + line, du * x + tl.sum(slope * A, axis=1), mask=real)
        dx = du * dt
        if SKIP:
            dx += dy * D
            dD += dy * x
        tl.store(dx_ptr + line, dx, mask=real)
    tl.store(dA_ptr + tile, dA, mask=inside)
    if SKIP:
        tl.store(dD_ptr + d, dD, mask=real)


@on_its_device
def state_update_triton(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Same contract as `sssm.ops.state_update.state_update`."""
    x, dt, A, B, C, D, z, h = _contiguous(x, dt, A, B, C, D, z, h)
    y, after = torch.empty_like(x), torch.empty_like(h)
    if h.numel():
        _state_update_kernel[x.shape[0], triton.cdiv(x.shape[1], BLOCK)](
            x, dt, A, B, C, D, z, h, y, after, _in_memory(leak, A), *A.shape,
            SKIP=D is not None, GATE=z is not None, TINY=TINY, **_sizes(A),
        )  # fmt: skip
    return y, after


@on_its_device
def state_update_backward_triton(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of x, dt, A, B, C, D, z and h; of no elements where there is no D or z."""
    x, dt, A, B, C, D, z, h = _contiguous(x, dt, A, B, C, D, z, h)
    (batch, channels), N = x.shape, A.shape[1]
    blocks = triton.cdiv(channels, BLOCK)
    dx, ddt, dA, dh0 = (torch.empty_like(t) for t in (x, dt, A, h))
    dD = A.new_empty(0) if D is None else torch.empty_like(D)
    dz = x.new_empty(0) if z is None else torch.empty_like(z)
    dB, dC = (x.new_empty(blocks, batch, N, dtype=_precise(A)) for _ in range(2))
    if A.numel():
        _state_update_backward_kernel[(blocks,)](
            x, dt, A, B, C, D, z, h, dy.contiguous(), dh.contiguous(),
            dx, ddt, dA, dB, dC, dD, dz, dh0, _in_memory(leak, A), batch, channels, N,
            SKIP=D is not None, GATE=z is not None, **_sizes(A),
        )  # fmt: skip
    return dx, ddt, dA, dB.sum(dim=0).to(B.dtype), dC.sum(dim=0).to(C.dtype), dD, dz, dh0


def _contiguous(*operands: Tensor | None) -> tuple:
    return tuple(t if t is None else t.contiguous() for t in operands)


def _in_memory(leak: float, A: Tensor) -> Tensor:
    return A.new_full((1,), leak, dtype=_precise(A))


def _precise(A: Tensor) -> torch.dtype:
    return torch.promote_types(A.dtype, torch.float32)


def _sizes(A: Tensor) -> dict[str, object]:
    """Tile of a program, and warps that leave a thread four states."""
    lines = triton.next_power_of_2(A.shape[1])
    warps = min(8, max(1, lines * BLOCK // 128))
    return {"STATE": state_type(A), "LINES": lines, "BLOCK": BLOCK, "num_warps": warps}
