"""Triton kernel of the linear scan: one thread a lane, the state in a register.

Where rows and lanes are too few to fill a GPU the length is cut into chunks.  Each chunk's last
state from zero, and the product of its decays, come first; a scan over the chunks carries the state
from one to the next; then all chunks run at once from their own first state.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.kernels import LANES, PREFETCH, chunk_length, on_its_device, real_planes, state_type


@triton.jit
def _scan_kernel(
    a_ptr, b_ptr, start_ptr, h_ptr, last_ptr, decay_ptr, length, lanes, chunk,
    STATE: tl.constexpr, COMPLEX: tl.constexpr, SUMMARY: tl.constexpr, BLOCK: tl.constexpr,
    PREFETCH: tl.constexpr,
):  # fmt: skip
    """One chunk of a block of lanes: all its states, or with SUMMARY its last one and its decay."""
    WIDTH: tl.constexpr = 2 if COMPLEX else 1
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    lane = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < lanes
    edge = ((row * tl.num_programs(1) + part) * lanes + lane) * WIDTH
    hr = tl.zeros((BLOCK,), STATE)
    hi = tl.zeros((BLOCK,), STATE)
    pr = tl.full((BLOCK,), 1, STATE)
    pi = tl.zeros((BLOCK,), STATE)
    if not SUMMARY:
        hr = tl.load(start_ptr + edge, mask=inside, other=0)
        if COMPLEX:
            hi = tl.load(start_ptr + edge + 1, mask=inside, other=0)
    first = part * chunk
    for t in tl.range(first, min(first + chunk, length), num_stages=PREFETCH):
        at = ((row * length + t) * lanes + lane) * WIDTH
        ar = tl.load(a_ptr + at, mask=inside, other=0).to(STATE)
        br = tl.load(b_ptr + at, mask=inside, other=0).to(STATE)
        if COMPLEX:
            ai = tl.load(a_ptr + at + 1, mask=inside, other=0).to(STATE)
            bi = tl.load(b_ptr + at + 1, mask=inside, other=0).to(STATE)
            hr, hi = ar * hr - ai * hi + br, ar * hi + ai * hr + bi
            if SUMMARY:
                pr, pi = ar * pr - ai * pi, ar * pi + ai * pr
            else:
                tl.store(h_ptr + at, hr, mask=inside)
                tl.store(h_ptr + at + 1, hi, mask=inside)
        else:
            hr = ar * hr + br
            if SUMMARY:
                pr = ar * pr
            else:
                tl.store(h_ptr + at, hr, mask=inside)
    tl.store(last_ptr + edge, hr, mask=inside)
    if COMPLEX:
        tl.store(last_ptr + edge + 1, hi, mask=inside)
    if SUMMARY:
        tl.store(decay_ptr + edge, pr, mask=inside)
        if COMPLEX:
            tl.store(decay_ptr + edge + 1, pi, mask=inside)


@on_its_device
def linear_scan_triton(a: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.linear_scan.linear_scan`; the state is at least float32."""
    h = b.new_empty(b.shape)
    if not b.numel():
        return h, h0.clone(memory_format=torch.contiguous_format)
    batch, length, lanes = b.shape
    blocks = triton.cdiv(lanes, LANES)
    chunk = chunk_length(length, batch * blocks)
    chunks = triton.cdiv(length, chunk)
    precise = h0.to(torch.promote_types(h0.dtype, torch.float32))
    last, decay = (precise.new_empty(batch, chunks, lanes) for _ in range(2))
    planes = real_planes if b.is_complex() else torch.Tensor.contiguous

    def run(starts: Tensor, *, summary: bool) -> None:
        _scan_kernel[batch, chunks, blocks](
            *(planes(t) for t in (a, b, starts, h, last, decay)), length, lanes, chunk,
            STATE=state_type(b), COMPLEX=b.is_complex(), SUMMARY=summary, BLOCK=LANES,
            PREFETCH=PREFETCH, num_warps=1,
        )  # fmt: skip

    starts = precise[:, None]
    if chunks > 1:
        run(starts, summary=True)
        starts = carried(decay, last, precise)
    run(starts, summary=False)
    return h, last[:, -1].to(h0.dtype, copy=True).contiguous()


def carried(decay: Tensor, last: Tensor, h0: Tensor) -> Tensor:
    """States before each chunk, (batch, chunks, lanes), from what each does to a first state.

    Args:
        decay: (batch, chunks, lanes) what is left of a state after the chunk.
        last: (batch, chunks, lanes) state after the chunk when it begins at zero.
        h0: (batch, lanes) state before the first chunk.
    """
    states, _ = linear_scan_triton(decay[:, :-1], last[:, :-1], h0)
    return torch.cat([h0[:, None], states], dim=1)
