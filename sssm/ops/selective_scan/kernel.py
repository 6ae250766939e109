"""Triton kernels of the selective scan: discretization, scan, projection, skip, gate in one pass.

A program holds the states of some channels in registers and walks over time, while what the next
elements need is copied into shared memory.  In the forward it is one warp, and a channel's states
are those of one thread, or of a few.  Decays are powers of two, which is what the hardware has.

Where rows and channels are too few to fill a GPU the length is cut into chunks, in three phases:
each chunk's last state from zero, a linear scan that carries states over the chunks, and all chunks
at once from their own first state.  The backward does the same in the other direction.

Where gradients are wanted, the forward keeps the state before every `mark` elements.  The backward
makes the states between two marks again, in scratch memory that stays in a cache, and walks back
over them.  Sums over channels, rows and chunks are partial sums of each program, added up by
PyTorch in one order.
"""

import math

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.flush import TINY
from sssm.ops.kernels import (
    LANES,
    PREFETCH,
    PROGRAMS,
    chunk_length,
    flushed,
    on_its_device,
    state_type,
)
from sssm.ops.linear_scan.kernel import carried

UNROLL, STAGES = 8, 4
"""Elements that the forward reads at once, a power of two; and how many such reads are on their way
or being computed, of which the last is issued when the first is done with."""

READ_BYTES = 1 << 12
"""Most of B, or of C, in one such read: with many states it has fewer elements, as a warp has
STAGES - 1 reads of both in shared memory, of which there is little, and one in registers."""

STATES, REGISTERS = 16, 168
"""Of the forward: most states of a thread, unless a channel has too many for a warp; and most
registers where a channel has no more than these, so that many warps hide each other's waiting."""

BLOCK = 16
"""Channels of one program of the backward: many programs, few partial sums of dB and dC."""

AHEAD_BYTES = 80 << 10
"""Most of the states that the backward copies ahead: they have to fit into shared memory."""

LOG2_E = 1 / math.log(2)


@triton.jit
def _power(x, STATE: tl.constexpr):
    """2^x; Triton has it in float32 only."""
    return tl.exp2(x) if tl.float32 == STATE else tl.exp(x * 0.6931471805599453)


@triton.jit
def _open(z, STATE: tl.constexpr):
    """The logistic function, so that SiLU(z) = z open(z); no smaller than 2^-126."""
    return 1 / (1 + _power(tl.minimum(-1.4426950408889634 * z, 126), STATE))


@triton.jit
def _rows(tile, STATE: tl.constexpr, UNROLL: tl.constexpr):
    """(UNROLL, width) -> UNROLL times (width,) in STATE; UNROLL is a power of two."""
    width: tl.constexpr = tile.shape[1]
    if UNROLL == 1:
        return (tl.reshape(tile, (width,)).to(STATE),)
    else:  # without it Triton would compile what follows for one row too
        pairs = tl.permute(tl.reshape(tile, (UNROLL // 2, 2, width)), (0, 2, 1))
        even, odd = tl.split(pairs)
        evens, odds = _rows(even, STATE, UNROLL // 2), _rows(odd, STATE, UNROLL // 2)
        rows = ()
        for i in tl.static_range(UNROLL // 2):
            rows += (evens[i], odds[i])  # type: ignore[assignment]
        return rows


@triton.jit
def _read(ptr, at, left, lane, width: tl.constexpr, STATE: tl.constexpr, UNROLL: tl.constexpr):
    """UNROLL times those of `width` numbers an element that are at `lane`, from element `at` on.

    Zeros for the elements after the `left` first, and for lanes that are not there.
    """
    i, lane = tl.arange(0, UNROLL)[:, None], lane[None, :]
    inside = (i < left) & (lane < width)
    tile = tl.load(ptr + at * width + (i * width + lane), mask=inside, other=0)
    return _rows(tile, STATE, UNROLL)


@triton.jit
def _spread(line, SPLIT: tl.constexpr):
    """(LINES,) of one element -> (SPLIT, LINES / SPLIT, 1)."""
    return tl.reshape(line, (SPLIT, line.shape[0] // SPLIT))[:, :, None]


# Not knowing that states are aligned, Triton gives a thread one channel and LINES / SPLIT of its
# states, not four channels and a quarter of those: a sum over states needs few other threads.
@triton.jit(do_not_specialize_on_alignment=["A_ptr", "start_ptr", "marks_ptr", "last_ptr"])
def _scan_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, start_ptr, y_ptr, marks_ptr, last_ptr,
    leak_ptr, length, chunk, channels: tl.constexpr, N: tl.constexpr,
    OUTPUT: tl.constexpr, KEEP: tl.constexpr, GATE: tl.constexpr, STATE: tl.constexpr,
    TINY: tl.constexpr, MARK: tl.constexpr, UNROLL: tl.constexpr, STAGES: tl.constexpr,
    SPLIT: tl.constexpr, LINES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One chunk of a block of channels: its last state, with OUTPUT y, and with KEEP the marks.

    `leak_ptr` is memory, as a number would arrive in float32, too coarse for double states.  What
    UNROLL elements need is copied into shared memory while those before are computed.
    """
    tl.static_assert(MARK % UNROLL == 0)
    blocks: tl.constexpr = (channels + BLOCK - 1) // BLOCK
    row, part = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(1)
    d = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, LINES)
    state, channel = _spread(n, SPLIT), d[None, None, :]
    tile, inside = state * channels + channel, (state < N) & (channel < channels)
    A, leak = tl.load(A_ptr + tile, mask=inside, other=0), tl.load(leak_ptr)
    edge = (row * tl.cdiv(length, chunk) + part) * N * channels
    h = tl.zeros((SPLIT, LINES // SPLIT, BLOCK), STATE)
    if OUTPUT:
        h = tl.load(start_ptr + edge + tile, mask=inside, other=0)
    D = tl.load(D_ptr + d, mask=d < channels, other=0).to(STATE)
    end = min(part * chunk + chunk, length)
    for first in tl.range(part * chunk, end, UNROLL, num_stages=STAGES):
        if KEEP and first % MARK == 0:
            h = flushed(h, TINY)
            mark = row * tl.cdiv(length, MARK) + first // MARK
            tl.store(marks_ptr + mark * N * channels + tile, h, mask=inside)
        at, left = row * length + first, end - first
        x = _read(x_ptr, at, left, d, channels, STATE, UNROLL)
        dt = _read(dt_ptr, at, left, d, channels, STATE, UNROLL)
        B = _read(B_ptr, at, left, n, N, STATE, UNROLL)
        if OUTPUT:
            C = _read(C_ptr, at, left, n, N, STATE, UNROLL)
            if GATE:
                z = _read(z_ptr, at, left, d, channels, STATE, UNROLL)
        for i in tl.static_range(UNROLL):
            loss = tl.where(i < left, leak, 0)  # behind the end nothing moves: dt is 0
            h = _power(dt[i][None, None, :] * A - loss, STATE) * h
            h += (dt[i] * x[i])[None, None, :] * _spread(B[i], SPLIT)
            if OUTPUT:
                y = tl.sum(tl.sum(h * _spread(C[i], SPLIT), axis=1), axis=0) + D * x[i]
                if GATE:
                    y *= z[i] * _open(z[i], STATE)
                live = (d < channels) & (i < left)
                tl.store(y_ptr + at * channels + (i * channels + d), y, mask=live)
    tl.store(last_ptr + edge + tile, flushed(h, TINY), mask=inside)


@triton.jit
def _adjoint_summary_kernel(
    dt_ptr, A_ptr, C_ptr, z_ptr, dy_ptr, last_ptr, leak_ptr, length, channels, N, chunk,
    GATE: tl.constexpr, STATE: tl.constexpr, LINES: tl.constexpr, BLOCK: tl.constexpr,
    PREFETCH: tl.constexpr,
):  # fmt: skip
    """What the outputs of one chunk, not the first, add to the gradient of the state before it."""
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1) + 1
    d = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, LINES)
    tile = n[:, None] * channels + d[None, :]
    inside = (n[:, None] < N) & (d[None, :] < channels)
    A, leak = tl.load(A_ptr + tile, mask=inside, other=0), tl.load(leak_ptr)
    dh = tl.zeros((LINES, BLOCK), STATE)
    end = min(part * chunk + chunk, length)
    for back in tl.range(0, end - part * chunk, num_stages=PREFETCH):
        at = row * length + end - 1 - back
        dt = tl.load(dt_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
        dy = tl.load(dy_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
        C = tl.load(C_ptr + at * N + n, mask=n < N, other=0).to(STATE)
        if GATE:
            z = tl.load(z_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
            dy *= z * _open(z, STATE)
        dh = _power(dt[None, :] * A - leak, STATE) * (dh + dy[None, :] * C[:, None])
    edge = (row * tl.cdiv(length, chunk) + part) * N * channels
    tl.store(last_ptr + edge + tile, dh, mask=inside)


@triton.jit
def _backward_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, marks_ptr, dy_ptr, start_ptr, scratch_ptr,
    dx_ptr, ddt_ptr, dA_ptr, dB_ptr, dC_ptr, dD_ptr, dz_ptr, dh_ptr,
    leak_ptr, length, channels, N, chunk,
    GATE: tl.constexpr, STATE: tl.constexpr, MARK: tl.constexpr, LINES: tl.constexpr,
    BLOCK: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """One chunk of a block of channels, from its last mark to its first."""
    row, part, block = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    d = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, LINES)
    tile = n[:, None] * channels + d[None, :]
    inside = (n[:, None] < N) & (d[None, :] < channels)
    A, leak = tl.load(A_ptr + tile, mask=inside, other=0), tl.load(leak_ptr)
    place = row * tl.num_programs(1) + part
    edge = place * N * channels
    dh = tl.load(start_ptr + edge + tile, mask=inside, other=0)
    dA = tl.zeros((LINES, BLOCK), STATE)
    dD = tl.zeros((BLOCK,), STATE)
    D = tl.load(D_ptr + d, mask=d < channels, other=0).to(STATE)
    states = scratch_ptr + (place * tl.num_programs(2) + block) * (MARK + 1) * LINES * BLOCK
    states += n[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    marks = tl.cdiv(min(part * chunk + chunk, length) - part * chunk, MARK)
    for back_mark in range(0, marks):
        mark = part * (chunk // MARK) + marks - 1 - back_mark
        first = mark * MARK
        size = min(MARK, length - first)
        at = (row * tl.cdiv(length, MARK) + mark) * N * channels
        h = tl.load(marks_ptr + at + tile, mask=inside, other=0)
        tl.debug_barrier()  # until all threads are done with the states of the mark before
        tl.store(states, h)
        for s in tl.range(0, size, num_stages=PREFETCH):
            at = row * length + first + s
            x = tl.load(x_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
            dt = tl.load(dt_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
            B = tl.load(B_ptr + at * N + n, mask=n < N, other=0).to(STATE)
            h = _power(dt[None, :] * A - leak, STATE) * h + (dt * x)[None, :] * B[:, None]
            tl.store(states + (s + 1) * LINES * BLOCK, h)
        tl.debug_barrier()  # until all states are there
        for back in tl.range(0, size, num_stages=PREFETCH):
            s = size - 1 - back
            at = row * length + first + s
            x = tl.load(x_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
            dt = tl.load(dt_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
            dy = tl.load(dy_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
            B = tl.load(B_ptr + at * N + n, mask=n < N, other=0).to(STATE)
            C = tl.load(C_ptr + at * N + n, mask=n < N, other=0).to(STATE)
            before = tl.load(states + s * LINES * BLOCK)
            after = tl.load(states + (s + 1) * LINES * BLOCK)
            if GATE:
                z = tl.load(z_ptr + at * channels + d, mask=d < channels, other=0).to(STATE)
                gate = _open(z, STATE)
                y = tl.sum(after * C[:, None], axis=0) + D * x
                dz = dy * y * gate * (1 + z * (1 - gate))
                tl.store(dz_ptr + at * channels + d, dz, mask=d < channels)
                dy *= z * gate
            partial = ((block * tl.num_programs(0) + row) * length + first + s) * N + n
            tl.store(dC_ptr + partial, tl.sum(after * dy[None, :], axis=1), mask=n < N)
            dh += dy[None, :] * C[:, None]
            tl.store(dB_ptr + partial, tl.sum(dh * (dt * x)[None, :], axis=1), mask=n < N)
            du = tl.sum(dh * B[:, None], axis=0)
            dh *= _power(dt[None, :] * A - leak, STATE)
            slope = dh * before
            dA += slope * dt[None, :]
            # A is in base 2, its gradients in base e.
            ddt = du * x + tl.sum(slope * A, axis=0) * 0.6931471805599453
            tl.store(ddt_ptr + at * channels + d, ddt, mask=d < channels)
            tl.store(dx_ptr + at * channels + d, du * dt + dy * D, mask=d < channels)
            dD += dy * x
    tl.store(dh_ptr + edge + tile, dh, mask=inside)
    tl.store(dA_ptr + edge + tile, dA, mask=inside)
    tl.store(dD_ptr + place * channels + d, dD, mask=d < channels)


@on_its_device
def selective_scan_triton(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    h0: Tensor, leak: float, mark: int, keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """y, the last state, and the states before every `mark` elements (batch, marks, N, D).

    `mark` is a multiple of `UNROLL`.  Unless to `keep`, there are no marks: (batch, 0, N, D).

    Same contract as `sssm.ops.selective_scan.selective_scan` for lengths of at least 1; the state
    and the marks are at least float32 inside.
    """
    batch, length, channels = x.shape
    N, split = A.shape[1], _split(A.shape[1], batch, channels)
    block = LANES // split
    blocks = triton.cdiv(channels, block)
    x, dt, D = (t.contiguous() for t in (x, dt, D))
    z = None if z is None else z.contiguous()
    rate, start = _lines(A) * LOG2_E, _lines(h0)
    B, C = (t.to(rate.dtype).contiguous() for t in (B, C))  # once, not in every thread
    bits = rate.new_full((1,), leak * LOG2_E)
    # Counted twice, so as to cut less: a cut length costs almost twice as many exponentials.
    chunk = chunk_length(length, 2 * batch * blocks)
    chunks = triton.cdiv(length, chunk)
    y, last = torch.empty_like(x), rate.new_empty(batch, chunks, N, channels)
    marks = rate.new_empty(batch, triton.cdiv(length, mark) if keep else 0, N, channels)
    lines = triton.next_power_of_2(N)
    unroll = max(1, min(UNROLL, READ_BYTES // (lines * rate.itemsize)))
    sizes = {"STATE": state_type(rate), "LINES": lines, "SPLIT": split, "BLOCK": block}
    if lines <= STATES and rate.dtype == torch.float32:
        sizes["maxnreg"] = REGISTERS  # beyond, states would be spilled

    def run(first: int, starts: Tensor, *, output: bool) -> None:
        """The first chunks of every row."""
        _scan_kernel[batch * blocks, first](
            x, dt, rate, B, C, D, z, starts, y, marks, last, bits,
            length, chunk, channels, N,
            OUTPUT=output, KEEP=output and keep, GATE=z is not None, TINY=TINY, MARK=mark,
            UNROLL=unroll, STAGES=STAGES, num_warps=1, **sizes,
        )  # fmt: skip

    starts = start[:, None]
    if y.numel() and chunks > 1:
        run(chunks - 1, starts, output=False)  # nothing follows the last one
        starts = _carried(_decays(dt, rate, bits, chunk), last, start)
    if y.numel():
        run(chunks, starts, output=True)
    return y, _columns(last[:, -1], h0), marks


@on_its_device
def selective_scan_backward_triton(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    leak: float, mark: int, marks: Tensor, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of x, dt, A, B, C, D, z (of no elements where there is none) and h0."""
    batch, length, channels = x.shape
    N, blocks = A.shape[1], triton.cdiv(channels, BLOCK)
    x, dt, B, C, D, dy, marks = (t.contiguous() for t in (x, dt, B, C, D, dy, marks))
    z = None if z is None else z.contiguous()
    rate, end = _lines(A) * LOG2_E, _lines(dh)
    bits = rate.new_full((1,), leak * LOG2_E)
    chunk = chunk_length(length, batch * blocks)
    chunks = triton.cdiv(length, chunk)
    starts = end[:, None]
    if chunks > 1:
        last = rate.new_empty(batch, chunks, N, channels)
        _adjoint_summary_kernel[batch, chunks - 1, blocks](
            dt, rate, C, z, dy, last, bits, length, channels, N, chunk,
            GATE=z is not None, **_sizes(rate),
        )  # fmt: skip
        decay = _decays(dt, rate, bits, chunk)
        starts = _carried(decay.flip(1), last.flip(1), end).flip(1)
    scratch = rate.new_empty(batch, chunks, blocks, mark + 1, triton.next_power_of_2(N), BLOCK)
    dx, ddt, dz = torch.empty_like(x), torch.empty_like(dt), torch.empty_like(x[:0])
    if z is not None:
        dz = torch.empty_like(z)
    dB, dC = (rate.new_empty(blocks, batch, length, N) for _ in range(2))
    dA, dh0 = (rate.new_empty(batch, chunks, N, channels) for _ in range(2))
    dD = rate.new_empty(batch, chunks, channels)
    if x.numel():
        _backward_kernel[batch, chunks, blocks](
            x, dt, rate, B, C, D, z, marks, dy, starts, scratch,
            dx, ddt, dA, dB, dC, dD, dz, dh0, bits, length, channels, N, chunk,
            GATE=z is not None, MARK=mark, **_sizes(rate),
        )  # fmt: skip
    return (
        dx, ddt, _columns(dA.sum(dim=(0, 1)), A), dB.sum(dim=0).to(B.dtype),
        dC.sum(dim=0).to(C.dtype), dD.sum(dim=(0, 1)).to(D.dtype), dz, _columns(dh0[:, 0], dh),
    )  # fmt: skip


def _split(N: int, batch: int, channels: int) -> int:
    """Threads of a warp that share the states of a channel: twice as many where rows are few."""
    lines = triton.next_power_of_2(N)
    split = min(LANES, max(1, lines // STATES))
    if batch * triton.cdiv(channels, LANES // split) < PROGRAMS:
        split *= 2
    return min(LANES, lines, split)


def _sizes(rate: Tensor) -> dict[str, object]:
    """Of the backward: tile, stages of its loops, and warps, of 256 states each in up to eight."""
    lines = triton.next_power_of_2(rate.shape[0])
    states = lines * BLOCK
    ahead = AHEAD_BYTES // (2 * states * rate.itemsize)  # those before and after an element
    return {
        "STATE": state_type(rate), "LINES": lines, "BLOCK": BLOCK,
        "PREFETCH": min(PREFETCH, 1 + ahead), "num_warps": min(8, max(1, states // 256)),
    }  # fmt: skip


def _lines(m: Tensor) -> Tensor:
    """(..., D, N) -> (..., N, D), at least float32: neighbouring threads read neighbours."""
    return m.to(torch.promote_types(m.dtype, torch.float32)).mT.contiguous()


def _columns(m: Tensor, like: Tensor) -> Tensor:
    """Inverse of `_lines`, in the precision of `like`."""
    return m.mT.to(like.dtype).clone(memory_format=torch.contiguous_format)


def _decays(dt: Tensor, rate: Tensor, leak: Tensor, chunk: int) -> Tensor:
    """What is left of a state after each chunk, (batch, chunks, N, D)."""
    length = dt.shape[1]
    chunks = triton.cdiv(length, chunk)
    padded = F.pad(dt, (0, 0, 0, chunks * chunk - length)) if length % chunk else dt
    time = padded.to(rate.dtype).unflatten(1, (chunks, chunk)).sum(dim=2)[:, :, None]
    first = chunk * torch.arange(chunks, device=dt.device)[:, None, None]
    return torch.exp2(time * rate - leak * (length - first).clamp(max=chunk))


def _carried(decay: Tensor, last: Tensor, h0: Tensor) -> Tensor:
    """States before each chunk (batch, chunks, N, D)."""
    return carried(decay.flatten(2), last.flatten(2), h0.flatten(1)).unflatten(2, decay.shape[2:])
