"""Triton kernels of the diagonal model: the recurrence in one pass, its adjoint in another.

A program holds the states of one row and 32 channels in registers and walks over time; neighbouring
threads have neighbouring channels, and all modes of a channel are one thread's where they are few,
so that it sums them alone.  What it reads of later elements is on its way while it computes.

The forward keeps nothing.  The backward runs it again and keeps the state before every `MARK`
elements; then it makes the states between two marks again, in scratch memory that stays in a cache,
and walks back over them.  The gradients of dA, B and C are a sum for each row, added up by PyTorch
in one order.

Complex numbers lie as PyTorch has them, the imaginary part after the real one, and only scratch
memory has them apart.  The length is never cut: few rows leave a GPU idle.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.flush import TINY
from sssm.ops.kernels import LANES, PREFETCH, flushed, on_its_device, real_planes, state_type

MARK = 16
"""Elements between two states that are kept for the gradients."""


@triton.jit
def _load(ptr, at, inside, STATE: tl.constexpr):
    """Real and imaginary part, zeros outside."""
    re = tl.load(ptr + 2 * at, mask=inside, other=0).to(STATE)
    return re, tl.load(ptr + 2 * at + 1, mask=inside, other=0).to(STATE)


@triton.jit
def _store(ptr, at, re, im, inside):
    tl.store(ptr + 2 * at, re, mask=inside)
    tl.store(ptr + 2 * at + 1, im, mask=inside)


@triton.jit
def _place(ptr, number, LINES: tl.constexpr, LANES: tl.constexpr):
    """Where the tiles of a state are in scratch memory, real parts and imaginary ones.

    They are called not contiguous, or a thread would take four neighbouring channels, and share the
    modes of each with other threads.
    """
    tile = tl.arange(0, LINES)[:, None] * LANES + tl.arange(0, LANES)[None, :]
    tile = tl.max_contiguous(tile, (1, 1))
    ptr += number * (2 * LINES * LANES)
    return ptr + tile, ptr + LINES * LANES + tile


@triton.jit
def _keep(ptr, number, re, im):
    re_ptr, im_ptr = _place(ptr, number, re.shape[0], re.shape[1])
    tl.store(re_ptr, re)
    tl.store(im_ptr, im)


@triton.jit
def _kept(ptr, number, LINES: tl.constexpr, LANES: tl.constexpr):
    re_ptr, im_ptr = _place(ptr, number, LINES, LANES)
    return tl.load(re_ptr), tl.load(im_ptr)


@triton.jit
def _advance(x, A_re, A_im, B_re, B_im, h_re, h_im):
    """A h + B x."""
    re = A_re * h_re - A_im * h_im + B_re * x[None, :]
    return re, A_re * h_im + A_im * h_re + B_im * x[None, :]


@triton.jit
def _scan_kernel(
    x_ptr, A_ptr, B_ptr, C_ptr, h0_ptr, y_ptr, last_ptr, length, channels, N,
    STATE: tl.constexpr, TINY: tl.constexpr, MARK: tl.constexpr, LINES: tl.constexpr,
    LANES: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """All elements of one row and a block of channels."""
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * LANES + tl.arange(0, LANES)
    n = tl.arange(0, LINES)
    mode, real = d[None, :] * N + n[:, None], d < channels
    inside = real[None, :] & (n[:, None] < N)
    A_re, A_im = _load(A_ptr, mode, inside, STATE)
    B_re, B_im = _load(B_ptr, mode, inside, STATE)
    C_re, C_im = _load(C_ptr, mode, inside, STATE)
    state = row * channels * N + mode
    h_re, h_im = _load(h0_ptr, state, inside, STATE)
    for t in tl.range(0, length, num_stages=PREFETCH):
        at = (row * length + t) * channels + d
        x = tl.load(x_ptr + at, mask=real, other=0).to(STATE)
        if t % MARK == 0:
            h_re, h_im = flushed(h_re, TINY), flushed(h_im, TINY)
        h_re, h_im = _advance(x, A_re, A_im, B_re, B_im, h_re, h_im)
        tl.store(y_ptr + at, 2 * tl.sum(C_re * h_re - C_im * h_im, axis=0), mask=real)
    _store(last_ptr, state, flushed(h_re, TINY), flushed(h_im, TINY), inside)


@triton.jit
def _backward_kernel(
    x_ptr, A_ptr, B_ptr, C_ptr, h0_ptr, dy_ptr, dlast_ptr, scratch_ptr,
    dx_ptr, dA_ptr, dB_ptr, dC_ptr, dh0_ptr, length, channels, N,
    STATE: tl.constexpr, TINY: tl.constexpr, MARK: tl.constexpr, LINES: tl.constexpr,
    LANES: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """All elements of one row and a block of channels, forth and back."""
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    lane, n = tl.arange(0, LANES), tl.arange(0, LINES)
    d = block * LANES + lane
    mode, real = d[None, :] * N + n[:, None], d < channels
    inside = real[None, :] & (n[:, None] < N)
    A_re, A_im = _load(A_ptr, mode, inside, STATE)
    B_re, B_im = _load(B_ptr, mode, inside, STATE)
    state = row * channels * N + mode
    h_re, h_im = _load(h0_ptr, state, inside, STATE)

    # The states that are kept, and those between two of them.
    marks, own = tl.cdiv(length, MARK), row * tl.num_programs(1) + block
    kept = scratch_ptr + own * (marks + MARK) * (2 * LINES * LANES)
    between = kept + marks * (2 * LINES * LANES)
    for t in tl.range(0, length, num_stages=PREFETCH):
        x = tl.load(x_ptr + (row * length + t) * channels + d, mask=real, other=0).to(STATE)
        if t % MARK == 0:
            h_re, h_im = flushed(h_re, TINY), flushed(h_im, TINY)
            _keep(kept, t // MARK, h_re, h_im)
        h_re, h_im = _advance(x, A_re, A_im, B_re, B_im, h_re, h_im)

    C_re, C_im = _load(C_ptr, mode, inside, STATE)
    dh_re, dh_im = _load(dlast_ptr, state, inside, STATE)
    dA_re = tl.zeros((LINES, LANES), STATE)
    dA_im, dB_re, dB_im, dC_re, dC_im = dA_re, dA_re, dA_re, dA_re, dA_re
    for back_mark in range(0, marks):
        first = (marks - 1 - back_mark) * MARK
        size = min(MARK, length - first)
        tl.debug_barrier()  # until marks are there, and all are done with the states after this one
        h_re, h_im = _kept(kept, marks - 1 - back_mark, LINES, LANES)
        for s in tl.range(0, size, num_stages=PREFETCH):
            at = (row * length + first + s) * channels + d
            x = tl.load(x_ptr + at, mask=real, other=0).to(STATE)
            _keep(between, s, h_re, h_im)
            h_re, h_im = _advance(x, A_re, A_im, B_re, B_im, h_re, h_im)
        tl.debug_barrier()  # until all states are there
        for back in tl.range(0, size, num_stages=PREFETCH):
            s = size - 1 - back
            at = (row * length + first + s) * channels + d
            x = tl.load(x_ptr + at, mask=real, other=0).to(STATE)
            twice_dy = 2 * tl.load(dy_ptr + at, mask=real, other=0).to(STATE)[None, :]
            dC_re += twice_dy * h_re
            dC_im -= twice_dy * h_im
            dh_re += twice_dy * C_re
            dh_im -= twice_dy * C_im
            dB_re += dh_re * x[None, :]
            dB_im += dh_im * x[None, :]
            tl.store(dx_ptr + at, tl.sum(dh_re * B_re + dh_im * B_im, axis=0), mask=real)
            h_re, h_im = _kept(between, s, LINES, LANES)
            dA_re += dh_re * h_re + dh_im * h_im
            dA_im += dh_im * h_re - dh_re * h_im
            dh_re, dh_im = dh_re * A_re + dh_im * A_im, dh_im * A_re - dh_re * A_im
    _store(dh0_ptr, state, dh_re, dh_im, inside)
    _store(dA_ptr, state, dA_re, dA_im, inside)
    _store(dB_ptr, state, dB_re, dB_im, inside)
    _store(dC_ptr, state, dC_re, dC_im, inside)


@on_its_device
def diagonal_ssm_triton(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.diagonal_ssm.diagonal_ssm` for lengths of at least 1.

    Inside, the state has the precision of dA.
    """
    _, length, channels = x.shape
    x, start = x.contiguous(), real_planes(h0)
    y, last = torch.empty_like(x), torch.empty_like(start)
    if y.numel():
        _scan_kernel[_grid(x)](
            x, *map(real_planes, (dA, B, C)), start, y, last, length, channels, dA.shape[1],
            **_sizes(dA),
        )  # fmt: skip
    return y, torch.view_as_complex(last)


@on_its_device
def diagonal_ssm_backward_triton(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor, dy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, dA, B, C and h0."""
    batch, length, channels = x.shape
    x, start, matrices = x.contiguous(), real_planes(h0), [*map(real_planes, (dA, B, C))]
    dx, dh0 = torch.empty_like(x), torch.empty_like(start)
    of_rows = [m.new_empty(batch, *m.shape) for m in matrices]
    if x.numel():
        grid, sizes = _grid(x), _sizes(dA)
        scratch = matrices[0].new_empty(
            *grid, triton.cdiv(length, MARK) + MARK, 2, sizes["LINES"], LANES
        )
        _backward_kernel[grid](
            x, *matrices, start, dy.contiguous(), real_planes(dh), scratch, dx, *of_rows, dh0,
            length, channels, dA.shape[1], **sizes,
        )  # fmt: skip
    ddA, dB, dC = (torch.view_as_complex(rows.sum(dim=0)) for rows in of_rows)
    return dx, ddA, dB, dC, torch.view_as_complex(dh0)


def _grid(x: Tensor) -> tuple[int, int]:
    return x.shape[0], triton.cdiv(x.shape[2], LANES)


def _sizes(A: Tensor) -> dict[str, Any]:
    """Tile of a program, and as many warps as leave a thread eight states, or four double ones."""
    lines = triton.next_power_of_2(A.shape[1])
    warps = min(8, max(1, lines * A.dtype.itemsize // 64))
    return {
        "STATE": state_type(A), "TINY": TINY, "MARK": MARK, "LINES": lines, "LANES": LANES,
        "PREFETCH": PREFETCH, "num_warps": warps,
    }  # fmt: skip
