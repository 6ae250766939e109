"""Triton kernels of the scan over readings: one thread a mode, both of its stages in registers.

The state is flushed after each reading, as on the CPU; so it is never cut into chunks: a second of
audio is 400 readings.  What readings share, the decays, gets its gradient from a kernel of its own
that adds up the rows in their order.
"""

import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.flush import TINY
from sssm.ops.kernels import LANES, PREFETCH, flushed, on_its_device, state_type


@triton.jit
def _four(ptr, stride, inside):
    """The planes re 1, im 1, re 2, im 2, `stride` apart."""
    r1 = tl.load(ptr, mask=inside, other=0)
    i1 = tl.load(ptr + stride, mask=inside, other=0)
    r2 = tl.load(ptr + 2 * stride, mask=inside, other=0)
    return r1, i1, r2, tl.load(ptr + 3 * stride, mask=inside, other=0)


@triton.jit
def _store_four(ptr, stride, r1, i1, r2, i2, inside):
    tl.store(ptr, r1, mask=inside)
    tl.store(ptr + stride, i1, mask=inside)
    tl.store(ptr + 2 * stride, r2, mask=inside)
    tl.store(ptr + 3 * stride, i2, mask=inside)


@triton.jit
def _scan_kernel(
    u_ptr, carry_ptr, start_ptr, energy_ptr, h_ptr, pieces, K,
    TINY: tl.constexpr, BLOCK: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """All pieces of one row, for a block of modes."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < K
    r1, i1, r2, i2 = _four(start_ptr + row * 4 * K + k, K, inside)
    for m in tl.range(0, pieces, num_stages=PREFETCH):
        at = (row * pieces + m) * 4 * K + k
        ur1, ui1, ur2, ui2 = _four(u_ptr + at, K, inside)
        ar, ai, gr, gi = _four(carry_ptr + m * 4 * K + k, K, inside)
        r2, i2 = (
            ur2 + ar * r2 - ai * i2 + gr * r1 - gi * i1,
            ui2 + ar * i2 + ai * r2 + gr * i1 + gi * r1,
        )
        r1, i1 = ur1 + ar * r1 - ai * i1, ui1 + ar * i1 + ai * r1
        r1, i1, r2, i2 = flushed(r1, TINY), flushed(i1, TINY), flushed(r2, TINY), flushed(i2, TINY)
        _store_four(h_ptr + at, K, r1, i1, r2, i2, inside)
        reading = (row * (pieces - 1) + m) * K + k
        tl.store(energy_ptr + reading, r2 * r2 + i2 * i2, mask=inside & (m < pieces - 1))


@triton.jit
def _scan_backward_kernel(
    h_ptr, carry_ptr, denergy_ptr, dh_ptr, du_ptr, dstart_ptr, pieces, K,
    STATE: tl.constexpr, BLOCK: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """The adjoint, from the last piece of one row to its first."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < K
    r1 = tl.zeros((BLOCK,), STATE)  # gradients of the state, from later pieces
    i1 = tl.zeros((BLOCK,), STATE)
    r2 = tl.zeros((BLOCK,), STATE)
    i2 = tl.zeros((BLOCK,), STATE)
    for back in tl.range(0, pieces, num_stages=PREFETCH):
        m = pieces - 1 - back
        at = (row * pieces + m) * 4 * K + k
        reading = (row * (pieces - 1) + m) * K + k
        twice = 2 * tl.load(denergy_ptr + reading, mask=inside & (m < pieces - 1), other=0)
        dr1, di1, dr2, di2 = _four(dh_ptr + at, K, inside)
        r1, i1 = r1 + dr1, i1 + di1
        r2 += dr2 + twice * tl.load(h_ptr + at + 2 * K, mask=inside, other=0)
        i2 += di2 + twice * tl.load(h_ptr + at + 3 * K, mask=inside, other=0)
        _store_four(du_ptr + at, K, r1, i1, r2, i2, inside)
        ar, ai, gr, gi = _four(carry_ptr + m * 4 * K + k, K, inside)
        r1, i1 = (
            ar * r1 + ai * i1 + gr * r2 + gi * i2,
            ar * i1 - ai * r1 + gr * i2 - gi * r2,
        )
        r2, i2 = ar * r2 + ai * i2, ar * i2 - ai * r2
    _store_four(dstart_ptr + row * 4 * K + k, K, r1, i1, r2, i2, inside)


@triton.jit
def _carry_backward_kernel(
    h_ptr, start_ptr, du_ptr, dcarry_ptr, batch, pieces, K,
    STATE: tl.constexpr, BLOCK: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    """Gradient of one piece's decays: what each row's state before it was multiplied by."""
    m = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < K
    dar = tl.zeros((BLOCK,), STATE)
    dai = tl.zeros((BLOCK,), STATE)
    dgr = tl.zeros((BLOCK,), STATE)
    dgi = tl.zeros((BLOCK,), STATE)
    for row in tl.range(0, batch, num_stages=PREFETCH):
        at = (row * pieces + m) * 4 * K + k
        dr1, di1, dr2, di2 = _four(du_ptr + at, K, inside)
        if m > 0:
            r1, i1, r2, i2 = _four(h_ptr + at - 4 * K, K, inside)
        else:
            r1, i1, r2, i2 = _four(start_ptr + row * 4 * K + k, K, inside)
        dar += r1 * dr1 + i1 * di1 + r2 * dr2 + i2 * di2
        dai += r1 * di1 - i1 * dr1 + r2 * di2 - i2 * dr2
        dgr += r1 * dr2 + i1 * di2
        dgi += r1 * di2 - i1 * dr2
    _store_four(dcarry_ptr + m * 4 * K + k, K, dar, dai, dgr, dgi, inside)


@on_its_device
def scan_triton(u: Tensor, carry: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.filterbank.parallel.scan_parallel`."""
    batch, pieces, K = u.shape[0], u.shape[1], start.shape[2]
    h = u.new_empty(u.shape)
    energy = u.new_empty(batch, pieces - 1, K)
    if u.numel():
        _scan_kernel[batch, triton.cdiv(K, LANES)](
            u.contiguous(), carry.contiguous(), start.contiguous(), energy, h, pieces, K,
            TINY=TINY, BLOCK=LANES, PREFETCH=PREFETCH, num_warps=1,
        )  # fmt: skip
    return energy, h


@on_its_device
def scan_backward_triton(
    h: Tensor, carry: Tensor, start: Tensor, denergy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, carry and start, from those of the energies and of all states."""
    batch, pieces, K = h.shape[0], h.shape[1], start.shape[2]
    du, dstart = h.new_empty(h.shape), start.new_empty(start.shape)
    dcarry = carry.new_zeros(carry.shape)
    if h.numel():
        h, blocks = h.contiguous(), triton.cdiv(K, LANES)
        settings = {"STATE": state_type(h), "BLOCK": LANES, "PREFETCH": PREFETCH, "num_warps": 1}
        _scan_backward_kernel[batch, blocks](
            h, carry.contiguous(), denergy.contiguous(), dh.contiguous(), du, dstart,
            pieces, K, **settings,
        )  # fmt: skip
        _carry_backward_kernel[pieces, blocks](
            h, start.contiguous(), du, dcarry, batch, pieces, K, **settings
        )
    return du, dcarry, dstart
