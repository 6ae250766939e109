"""Triton kernels of the Vandermonde product: its powers are made a tile at a time, never stored.

With l = 1024 i + 32 j + k a power is the product of three, dA^(1024 i) dA^(32 j) dA^k.  The tables
of the three hold (H, N, 64 + L / 1024) numbers, logarithm and phase in float64 and rounded once,
so that the phase of the last power is as right as that of the first.  A tile of 32 x 32 outputs is
then a small matrix product.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sssm.math.powers import powers
from sssm.ops.kernels import on_its_device, real_planes
from sssm.ops.vandermonde import parallel

SIDE = 32
"""Powers in the inner tables: a tile has SIDE * SIDE outputs."""

MODES = 16
"""Modes of a channel taken at once, the least depth of a matrix product."""

TILES = 8
"""Tiles whose gradients one program adds up."""


@triton.jit
def _vandermonde_kernel(
    C_ptr, inner_ptr, middle_ptr, outer_ptr, K_ptr, modes, length,
    SIDE: tl.constexpr, MODES: tl.constexpr,
):  # fmt: skip
    """One tile of one channel: K[32 j + k] = 2 Re sum_n (C outer middle_j)_n inner_(n, k)."""
    channel, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    side = tl.arange(0, SIDE)
    K = tl.zeros((SIDE, SIDE), tl.float32)
    for first in range(0, modes, MODES):
        n = first + tl.arange(0, MODES)
        inside = n < modes
        mode = channel * modes + n
        Cr, Ci = _complex(C_ptr, mode, inside)
        outer_r, outer_i = _complex(outer_ptr, mode * tl.num_programs(1) + tile, inside)
        Cr, Ci = Cr * outer_r - Ci * outer_i, Cr * outer_i + Ci * outer_r
        middle_r, middle_i = _complex(middle_ptr, mode[None, :] * SIDE + side[:, None], inside)
        left_r = Cr[None, :] * middle_r - Ci[None, :] * middle_i  # (j, n)
        left_i = Cr[None, :] * middle_i + Ci[None, :] * middle_r
        column = inside[:, None]
        inner_r, inner_i = _complex(inner_ptr, mode[:, None] * SIDE + side[None, :], column)
        K = tl.dot(left_r, inner_r, K, input_precision="ieee")  # (n, k)
        K = tl.dot(-left_i, inner_i, K, input_precision="ieee")
    l = (tile * SIDE + side[:, None]) * SIDE + side[None, :]  # noqa: E741 -- the paper's letter
    tl.store(K_ptr + channel * length + l, 2 * K, mask=l < length)


@triton.jit
def _vandermonde_backward_kernel(
    inner_ptr, middle_ptr, outer_ptr, dK_ptr, sums_ptr, modes, length, tiles,
    SIDE: tl.constexpr, MODES: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """Sums over some tiles of dA^l dK_l, and of dA^l (l + 1) dK_(l + 1), for a block of modes.

    The second is the slope, as d dA^l / d dA = l dA^(l - 1): nothing is divided by a dA of 0.
    """
    channel = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * MODES + tl.arange(0, MODES)
    part = tl.program_id(2)
    inside = n < modes
    mode = channel * modes + n
    side = tl.arange(0, SIDE)
    row = inside[None, :]
    inner_r, inner_i = _complex(inner_ptr, mode[None, :] * SIDE + side[:, None], row)  # (k, n)
    middle_r, middle_i = _complex(middle_ptr, mode[None, :] * SIDE + side[:, None], row)  # (j, n)
    sums_ptr += (part * tl.num_programs(0) * modes + mode) * 4
    for late in tl.static_range(2):
        sum_r, sum_i = tl.zeros((MODES,), tl.float32), tl.zeros((MODES,), tl.float32)
        for tile in range(part * TILES, min(part * TILES + TILES, tiles)):
            at = (tile * SIDE + side[:, None]) * SIDE + side[None, :] + late
            dK = tl.load(dK_ptr + channel * length + at, mask=at < length, other=0)  # (j, k)
            if late:
                dK *= at
            outer_r, outer_i = _complex(outer_ptr, mode * tiles + tile, inside)
            power_r = outer_r[None, :] * middle_r - outer_i[None, :] * middle_i  # (j, n)
            power_i = outer_r[None, :] * middle_i + outer_i[None, :] * middle_r
            row_r = tl.dot(dK, inner_r, input_precision="ieee")
            row_i = tl.dot(dK, inner_i, input_precision="ieee")
            sum_r += tl.sum(power_r * row_r - power_i * row_i, axis=0)
            sum_i += tl.sum(power_r * row_i + power_i * row_r, axis=0)
        tl.store(sums_ptr + 2 * late, sum_r, mask=inside)
        tl.store(sums_ptr + 2 * late + 1, sum_i, mask=inside)


@triton.jit
def _complex(ptr, index, inside):
    """Real and imaginary parts of interleaved complex numbers."""
    real = tl.load(ptr + 2 * index, mask=inside, other=0)
    return real, tl.load(ptr + 2 * index + 1, mask=inside, other=0)


@on_its_device
def vandermonde_triton(C: Tensor, dA: Tensor, length: int) -> Tensor:
    """Same contract as `sssm.ops.vandermonde.vandermonde`; double precision is left to `parallel`.

    A GPU has matrix products of float64 in plain PyTorch, and no model runs in it.
    """
    if C.dtype == torch.complex128 or not C.numel() or not length:
        return parallel.vandermonde_parallel(C, dA, length)
    channels, modes = C.shape
    tiles = triton.cdiv(length, SIDE * SIDE)
    K = C.real.new_empty(channels, length)
    _vandermonde_kernel[channels, tiles](
        real_planes(C), *_tables(dA, tiles), K, modes, length, SIDE=SIDE, MODES=MODES, num_warps=4
    )
    return K


@on_its_device
def vandermonde_backward_triton(C: Tensor, dA: Tensor, dK: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of C and dA."""
    if C.dtype == torch.complex128 or not C.numel() or not dK.shape[1]:
        return parallel.vandermonde_backward(C, dA, dK)
    channels, modes = C.shape
    tiles = triton.cdiv(dK.shape[1], SIDE * SIDE)
    parts = triton.cdiv(tiles, TILES)
    sums = dK.new_empty(parts, channels, modes, 2, 2)
    _vandermonde_backward_kernel[channels, triton.cdiv(modes, MODES), parts](
        *_tables(dA, tiles), dK.contiguous(), sums, modes, dK.shape[1], tiles,
        SIDE=SIDE, MODES=MODES, TILES=TILES, num_warps=4,
    )  # fmt: skip
    plain, slope = torch.view_as_complex(sums.sum(dim=0)).unbind(dim=2)
    return 2 * plain.conj_physical(), 2 * (C * slope).conj_physical()


def _tables(dA: Tensor, tiles: int) -> tuple[Tensor, Tensor, Tensor]:
    """dA^k, dA^(32 j) and dA^(1024 i) as real planes, (H, N, powers, 2) each."""
    side, tile = (torch.arange(count, device=dA.device) for count in (SIDE, tiles))
    exponents = torch.cat([side, SIDE * side, SIDE * SIDE * tile])
    tables = powers(dA, exponents).to(dA.dtype)  # all at once: every step of it is a launch
    inner, middle, outer = map(real_planes, tables.split([SIDE, SIDE, tiles], dim=2))
    return inner, middle, outer
