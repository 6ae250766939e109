"""Triton kernels of the Cauchy product: reciprocals live in registers, each serves all products.

With r = 1 / (z - w) and q = 1 / (z - conj w) a pair of poles gives

    v r + conj(v) q = [vr Re(r + q) - vi Im(r - q)] + i [vr Im(r + q) + vi Re(r - q)].

The two differences z - w are formed as they stand: the quotient that a pair has over the common
denominator z^2 - 2 z Re w + |w|^2 loses all digits near a pole.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sssm.ops.kernels import on_its_device, real_planes

NODES = 128
"""Nodes of one program."""

MODES = 16
"""Poles of one program of the gradients."""

SPAN = 4096
"""Nodes over which it adds them up."""


@triton.jit
def _pair(zr, zi, wr, wi, SQUARED: tl.constexpr):
    """Sum and difference of r = 1 / (z - w) and q = 1 / (z - conj w), or of their squares."""
    x = zr - wr
    y, y_conj = zi - wi, zi + wi
    scale, scale_conj = 1 / (x * x + y * y), 1 / (x * x + y_conj * y_conj)
    rr, ri = x * scale, -y * scale
    qr, qi = x * scale_conj, -y_conj * scale_conj
    if SQUARED:
        rr, ri = rr * rr - ri * ri, 2 * rr * ri
        qr, qi = qr * qr - qi * qi, 2 * qr * qi
    return rr + qr, ri + qi, rr - qr, ri - qi


@triton.jit
def _nodes_kernel(
    v_ptr, z_ptr, w_ptr, dtotal_ptr, out_ptr, products, channels, modes, length,
    GRADIENT: tl.constexpr, PRODUCTS: tl.constexpr, NODES: tl.constexpr,
):  # fmt: skip
    """All products of a block of nodes in one channel, or with GRADIENT what they add to dz.

    With s a pair as above, but of r^2 and q^2, dz = -sum over products and channels of
    dtotal conj(s).
    """
    STATE: tl.constexpr = v_ptr.dtype.element_ty
    channel = tl.program_id(0).to(tl.int64)
    node = tl.program_id(1) * NODES + tl.arange(0, NODES)
    product = tl.arange(0, PRODUCTS)
    zr = tl.load(z_ptr + 2 * node, mask=node < length, other=0)
    zi = tl.load(z_ptr + 2 * node + 1, mask=node < length, other=0)
    total_r = tl.zeros((PRODUCTS, NODES), STATE)
    total_i = tl.zeros((PRODUCTS, NODES), STATE)
    for n in range(modes):
        mode = channel * modes + n
        wr, wi = tl.load(w_ptr + 2 * mode), tl.load(w_ptr + 2 * mode + 1)
        sum_r, sum_i, gap_r, gap_i = _pair(zr, zi, wr, wi, GRADIENT)
        at = v_ptr + 2 * (product * channels * modes + mode)
        vr = tl.load(at, mask=product < products, other=0)[:, None]
        vi = tl.load(at + 1, mask=product < products, other=0)[:, None]
        total_r += vr * sum_r[None, :] - vi * gap_i[None, :]
        total_i += vr * sum_i[None, :] + vi * gap_r[None, :]
    at = 2 * ((product[:, None] * channels + channel) * length + node[None, :])
    inside = (product[:, None] < products) & (node[None, :] < length)
    if GRADIENT:
        dr = tl.load(dtotal_ptr + at, mask=inside, other=0)
        di = tl.load(dtotal_ptr + at + 1, mask=inside, other=0)
        at = out_ptr + 2 * (channel * length + node)
        tl.store(at, -tl.sum(dr * total_r + di * total_i, axis=0), mask=node < length)
        tl.store(at + 1, -tl.sum(di * total_r - dr * total_i, axis=0), mask=node < length)
    else:
        tl.store(out_ptr + at, total_r, mask=inside)
        tl.store(out_ptr + at + 1, total_i, mask=inside)


@triton.jit
def _poles_kernel(
    z_ptr, w_ptr, dtotal_ptr, sums_ptr, channels, modes, length,
    MODES: tl.constexpr, NODES: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Sums of dtotal conj(r) + conj(dtotal) q over some nodes, and the same of squares.

    The first is the gradient of v, the second times conj(v) that of w, for one product.
    """
    STATE: tl.constexpr = z_ptr.dtype.element_ty
    line, part = tl.program_id(0).to(tl.int64), tl.program_id(2)  # line: product and channel
    n = tl.program_id(1) * MODES + tl.arange(0, MODES)
    mode = line % channels * modes + n
    wr = tl.load(w_ptr + 2 * mode, mask=n < modes, other=0)[:, None]
    wi = tl.load(w_ptr + 2 * mode + 1, mask=n < modes, other=0)[:, None]
    first_r = tl.zeros((MODES, NODES), STATE)
    first_i = tl.zeros((MODES, NODES), STATE)
    second_r = tl.zeros((MODES, NODES), STATE)
    second_i = tl.zeros((MODES, NODES), STATE)
    for start in range(part * SPAN, min(part * SPAN + SPAN, length), NODES):
        node = start + tl.arange(0, NODES)
        # Beyond the end z is far from any pole and its gradient zero, so that it adds a zero.
        zr = tl.load(z_ptr + 2 * node, mask=node < length, other=1e3)[None, :]
        zi = tl.load(z_ptr + 2 * node + 1, mask=node < length, other=1e3)[None, :]
        at = dtotal_ptr + 2 * (line * length + node)
        dr = tl.load(at, mask=node < length, other=0)[None, :]
        di = tl.load(at + 1, mask=node < length, other=0)[None, :]
        sum_r, sum_i, gap_r, gap_i = _pair(zr, zi, wr, wi, False)
        first_r += dr * sum_r + di * sum_i
        first_i += di * gap_r - dr * gap_i
        sum_r, sum_i, gap_r, gap_i = _pair(zr, zi, wr, wi, True)
        second_r += dr * sum_r + di * sum_i
        second_i += di * gap_r - dr * gap_i
    at = sums_ptr + 4 * ((part * tl.num_programs(0) + line) * modes + n)
    tl.store(at, tl.sum(first_r, axis=1), mask=n < modes)
    tl.store(at + 1, tl.sum(first_i, axis=1), mask=n < modes)
    tl.store(at + 2, tl.sum(second_r, axis=1), mask=n < modes)
    tl.store(at + 3, tl.sum(second_i, axis=1), mask=n < modes)


@on_its_device
def cauchy_triton(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Same contract as `sssm.ops.cauchy.cauchy`."""
    total = v.new_empty(*v.shape[:2], z.shape[0])
    if total.numel():
        _over_nodes(v, z, w, None, total)
    return total


@on_its_device
def cauchy_backward_triton(
    v: Tensor, z: Tensor, w: Tensor, dtotal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of v, z and w; the reciprocals are made again, not kept."""
    products, channels, modes = v.shape
    length = z.shape[0]
    if not v.numel() or not length:
        return torch.zeros_like(v), torch.zeros_like(z), torch.zeros_like(w)
    dz = v.new_empty(channels, length)
    _over_nodes(v, z, w, dtotal, dz)
    parts = triton.cdiv(length, SPAN)
    sums = v.real.new_empty(parts, products, channels, modes, 2, 2)
    _poles_kernel[products * channels, triton.cdiv(modes, MODES), parts](
        *(real_planes(t) for t in (z, w, dtotal)), sums, channels, modes, length,
        MODES=MODES, NODES=NODES // 2, SPAN=SPAN, num_warps=4,
    )  # fmt: skip
    dv, slope = torch.view_as_complex(sums.sum(dim=0)).unbind(dim=3)
    return dv.contiguous(), dz.sum(dim=0), (v.conj_physical() * slope).sum(dim=0)


def _over_nodes(v: Tensor, z: Tensor, w: Tensor, dtotal: Tensor | None, out: Tensor) -> None:
    """Write `out`: the products, or with their gradient what each channel adds to dz."""
    products, channels, modes = v.shape
    _nodes_kernel[channels, triton.cdiv(z.shape[0], NODES)](
        *(real_planes(t) for t in (v, z, w)), None if dtotal is None else real_planes(dtotal),
        real_planes(out), products, channels, modes, z.shape[0], GRADIENT=dtotal is not None,
        PRODUCTS=triton.next_power_of_2(products), NODES=NODES, num_warps=4,
    )  # fmt: skip
