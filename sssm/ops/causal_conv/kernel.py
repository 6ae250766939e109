"""Triton kernels of the short causal convolution, a tile of times and channels a program.

What was heard, the tail and then the input, is read where it lies and never joined in memory.  Sums
over time and rows are one partial sum a program, added up by PyTorch in one order.  Rows and times
share the first axis of the grid: the others end at 65,535.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.kernels import on_its_device, state_type

TIME = 32
"""Elements of one program."""

BLOCK = 64
"""Channels of one program."""


@triton.jit
def _heard(x_ptr, tail_ptr, row, p, d, length, channels, inside, REACH: tl.constexpr):
    """Elements p of the tail and the input, the first of the tail being number 0."""
    x_at = (row * length + p[:, None] - REACH) * channels + d[None, :]
    tail_at = (row * REACH + p[:, None]) * channels + d[None, :]
    late = p[:, None] >= REACH
    x = tl.load(x_ptr + x_at, mask=inside & late, other=0)
    tail = tl.load(tail_ptr + tail_at, mask=inside & (p[:, None] < REACH), other=0)
    return tl.where(late, x, tail)


@triton.jit
def _conv_kernel(
    x_ptr, weight_ptr, bias_ptr, tail_ptr, y_ptr, length, channels,
    WIDTH: tl.constexpr, STATE: tl.constexpr, TIME: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y_t = bias + sum_w weight_w heard_(t + w)."""
    tiles = tl.cdiv(length, TIME)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    t = tl.program_id(0) % tiles * TIME + tl.arange(0, TIME)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (t[:, None] < length) & (d[None, :] < channels)
    y = tl.zeros((TIME, BLOCK), STATE)
    y += tl.load(bias_ptr + d, mask=d < channels, other=0).to(STATE)[None, :]
    for w in tl.static_range(WIDTH):
        weight = tl.load(weight_ptr + d * WIDTH + w, mask=d < channels, other=0).to(STATE)
        heard = _heard(x_ptr, tail_ptr, row, t + w, d, length, channels, inside, WIDTH - 1)
        y += weight[None, :] * heard.to(STATE)
    tl.store(y_ptr + (row * length + t[:, None]) * channels + d[None, :], y, mask=inside)


@triton.jit
def _conv_backward_kernel(
    x_ptr, weight_ptr, tail_ptr, dy_ptr, dnext_ptr, dx_ptr, dtail_ptr, sums_ptr, length, channels,
    WIDTH: tl.constexpr, STATE: tl.constexpr, TIME: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of what was heard, and these elements' part of those of the weights and the bias.

    heard_p is in y_(p - w) with weight w, and in the next tail when p is at least the length.
    """
    REACH: tl.constexpr = WIDTH - 1
    part, tiles = tl.program_id(0).to(tl.int64), tl.cdiv(length + REACH, TIME)
    row = part // tiles
    p = tl.program_id(0) % tiles * TIME + tl.arange(0, TIME)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = d < channels
    inside = (p[:, None] < length + REACH) & real[None, :]
    heard = _heard(x_ptr, tail_ptr, row, p, d, length, channels, inside, REACH).to(STATE)
    place = (row * REACH + p[:, None] - length) * channels + d[None, :]
    dheard = tl.load(dnext_ptr + place, mask=inside & (p[:, None] >= length), other=0).to(STATE)
    sums_ptr += part * (WIDTH + 1) * channels + d
    for w in tl.static_range(WIDTH):
        t = p[:, None] - w
        dy_at = (row * length + t) * channels + d[None, :]
        within = inside & (t >= 0) & (t < length)
        dy = tl.load(dy_ptr + dy_at, mask=within, other=0).to(STATE)
        weight = tl.load(weight_ptr + d * WIDTH + w, mask=real, other=0).to(STATE)
        dheard += weight[None, :] * dy
        tl.store(sums_ptr + w * channels, tl.sum(heard * dy, axis=0), mask=real)
        if w == 0:
            tl.store(sums_ptr + WIDTH * channels, tl.sum(dy, axis=0), mask=real)
    late = p[:, None] >= REACH
    dx_at = (row * length + p[:, None] - REACH) * channels + d[None, :]
    tl.store(dx_ptr + dx_at, dheard, mask=inside & late)
    dtail_at = (row * REACH + p[:, None]) * channels + d[None, :]
    tl.store(dtail_ptr + dtail_at, dheard, mask=inside & (p[:, None] < REACH))


@on_its_device
def causal_conv_triton(
    x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.causal_conv.causal_conv`; sums are at least float32."""
    batch, length, channels = x.shape
    reach = tail.shape[1]
    y = x.new_empty(x.shape)
    if y.numel():
        _conv_kernel[batch * triton.cdiv(length, TIME), triton.cdiv(channels, BLOCK)](
            *(t.contiguous() for t in (x, weight, bias, tail)), y, length, channels,
            WIDTH=reach + 1, STATE=state_type(x), TIME=TIME, BLOCK=BLOCK, num_warps=4,
        )  # fmt: skip
    last = torch.cat([tail, x[:, max(0, length - reach) :]], dim=1)
    return y, last[:, last.shape[1] - reach :].clone(memory_format=torch.contiguous_format)


@on_its_device
def causal_conv_backward_triton(
    x: Tensor, weight: Tensor, tail: Tensor, dy: Tensor, dtail: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, bias and the first tail."""
    batch, length, channels = x.shape
    width = weight.shape[1]
    dx, dtail0 = (t.new_empty(t.shape) for t in (x, tail))
    tiles = triton.cdiv(length + width - 1, TIME)
    precise = torch.promote_types(x.dtype, torch.float32)
    sums = x.new_empty(batch, tiles, width + 1, channels, dtype=precise)
    if sums.numel():
        _conv_backward_kernel[batch * tiles, triton.cdiv(channels, BLOCK)](
            *(t.contiguous() for t in (x, weight, tail, dy, dtail)), dx, dtail0, sums,
            length, channels, WIDTH=width, STATE=state_type(x), TIME=TIME, BLOCK=BLOCK,
            num_warps=4,
        )  # fmt: skip
    total = sums.sum(dim=(0, 1)).to(weight.dtype)
    return dx, total[:width].mT.contiguous(), total[width].clone(), dtail0
