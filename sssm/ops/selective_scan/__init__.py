"""Selective scan: a diagonal model whose step, input and output change with every element.

`reference.py` says it one element at a time; `scan.py` is one fused pass compiled for a CPU, which
keeps a state every few elements and makes the others again for the gradients; `kernel.py` does the
same on a GPU; `parallel.py` is plain PyTorch, for any device.  Only this file knows all of them.

Source: Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
arXiv:2312.00752, Algorithm 2.
"""

import math

import torch
from torch import Tensor

from sssm.ops.operator import in_full, of_nothing, operator, require_real
from sssm.ops.selective_scan import parallel
from sssm.ops.selective_scan.reference import selective_scan_reference

__all__ = ["selective_scan", "selective_scan_reference"]

CHUNK = 16
"""Elements between two states that are kept for the gradients."""


@operator("selective_scan")
def _scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    h0: Tensor, leak: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Output, last state, and the states before every `CHUNK` elements (batch, chunks, N, D).

    The gradients need the latter; without `keep` there are none, (batch, 0, N, D).
    """
    from sssm.ops.selective_scan.scan import scan

    y, _, marks = _scan_fake(x, dt, A, B, C, D, z, h0, leak, keep)
    h = _lines(h0)
    scan(*_arrays(x, dt, A, B, C, D, z, leak), h.numpy(), y.numpy(), marks.numpy())
    return y, _lines(h), marks


@_scan.register_fake
def _scan_fake(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    h0: Tensor, leak: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    batch, length, channels = x.shape
    chunks = (length + CHUNK - 1) // CHUNK if keep else 0
    precise = torch.promote_types(A.dtype, torch.float32)
    marks = x.new_empty(batch, chunks, A.shape[1], channels, dtype=precise)
    return _empty(x), _empty(h0), marks


@operator("selective_scan_backward")
def _scan_backward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    leak: float, marks: Tensor, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of x, dt, A, B, C, D, z (of no elements where there is none) and h0."""
    from sssm.ops.selective_scan.scan import scan_backward

    dx, ddt, _, dB, dC, _, dz, _ = _scan_backward_fake(x, dt, A, B, C, D, z, leak, marks, dy, dh)
    dA, dD, dh0 = torch.zeros_like(_lines(A)), torch.zeros_like(D.contiguous()), _lines(dh)
    scan_backward(
        *_arrays(x, dt, A, B, C, D, z, leak), marks.contiguous().numpy(), dy.contiguous().numpy(),
        *(grad.numpy() for grad in (dx, ddt, dA, dB, dC, dD, dz, dh0)),
    )  # fmt: skip
    return dx, ddt, _lines(dA), dB, dC, dD, dz, _lines(dh0)


@_scan_backward.register_fake
def _scan_backward_fake(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    leak: float, marks: Tensor, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    grads = (_empty(part) for part in (x, dt, A, B, C, D, x[:0] if z is None else z, dh))
    return tuple(grads)  # type: ignore[return-value]


def _save(ctx, inputs, output) -> None:
    x, dt, A, B, C, D, z, _, ctx.leak, ctx.keep = inputs
    ctx.save_for_backward(x, dt, A, B, C, D, z, output[2])
    ctx.mark_non_differentiable(output[2])


def _backward(ctx, dy: Tensor, dh: Tensor, _):
    x, dt, A, B, C, D, z, marks = ctx.saved_tensors
    if not ctx.keep:
        raise RuntimeError("gradients of selective_scan need the states that keep=True keeps")
    *grads, dz, dh0 = _scan_backward(x, dt, A, B, C, D, z, ctx.leak, marks, dy, dh)
    return *grads, None if z is None else dz, dh0, None, None


_scan.register_autograd(_backward, setup_context=_save)


def _cuda(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    h0: Tensor, leak: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    from sssm.ops.selective_scan.kernel import selective_scan_triton

    return selective_scan_triton(x, dt, A, B, C, D, z, h0, leak, CHUNK, keep)


def _cuda_backward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    leak: float, marks: Tensor, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    from sssm.ops.selective_scan.kernel import selective_scan_backward_triton

    return selective_scan_backward_triton(x, dt, A, B, C, D, z, leak, CHUNK, marks, dy, dh)


_scan.register_kernel("cuda", _cuda)
_scan_backward.register_kernel("cuda", _cuda_backward)


def _empty(like: Tensor) -> Tensor:
    return like.new_empty(like.shape)


def _lines(h: Tensor) -> Tensor:
    """(..., D, N) -> (..., N, D) or back, a copy: a state as N lines of all channels."""
    return h.mT.clone(memory_format=torch.contiguous_format)


def _arrays(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None, leak: float
) -> tuple:
    """The operands as the compiled loops take them, A and leak in base 2."""
    log2_e = 1 / math.log(2)
    tensors = (x, dt, _lines(A) * log2_e, B, C, D, x if z is None else z)
    arrays = [tensor.contiguous().numpy() for tensor in tensors]
    return *arrays, arrays[0].dtype.type(leak * log2_e), z is not None, CHUNK


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    leak: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt A - leak) h_(t-1) + dt B x, y_t = (C h_t + D x_t) SiLU(z_t), for all t at once.

    Args:
        x: (batch, length, D) real; length 0 is a chunk too.
        dt: (batch, length, D) positive step of every element.
        A: (D, N) real and negative.
        B, C: (batch, length, N).
        D: (D,) what passes straight through; nothing without it.
        z: (batch, length, D) gate; open without it.
        h0: (batch, D, N) state before the first element; silence without it.
        leak: what the log of every state also loses with each element, at least 0: at 1 / T no
            state lasts longer than T elements, however small dt is.  The paper has 0.

    Returns:
        y (batch, length, D), and the state after the last element (batch, D, N).

    Raises:
        ValueError: shapes do not agree, or numbers are of another kind.

    Source: arXiv:2312.00752, equations 2 and 4, the latter with dB = dt B, and Algorithm 2.
    """
    _check(x, dt, A, B, C, D, z, h0)
    h0 = A.new_zeros(x.shape[0], *A.shape) if h0 is None else h0
    if x.shape[1] == 0:
        weights = [part for part in (dt, A, B, C, D, z) if part is not None]
        return of_nothing(x, *weights), h0.clone()
    D = A.new_zeros(A.shape[0]) if D is None else D
    if x.device.type in ("cpu", "cuda"):
        operands = (x, dt, A, B, C, D, z, h0)
        if x.device.type == "cpu":
            operands = in_full(operands)
        wanted = [part.requires_grad for part in operands if part is not None]
        y, h, _ = _scan(*operands, leak, torch.is_grad_enabled() and any(wanted))
        return y.to(x.dtype), h.to(h0.dtype)
    with torch.autocast(x.device.type, enabled=False):
        return parallel.selective_scan_parallel(x, dt, A, B, C, D, z, h0, leak)


def _check(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h0: Tensor | None,
) -> None:  # fmt: skip
    if x.dim() != 3 or A.dim() != 2 or x.shape[2] != A.shape[0] or dt.shape != x.shape:
        raise ValueError(
            f"need x and dt (batch, length, D), and A (D, N); got x {tuple(x.shape)}, "
            f"dt {tuple(dt.shape)}, A {tuple(A.shape)}"
        )
    batch, length, channels = x.shape
    states = A.shape[1]
    for name, part, letters, shape in (
        ("B", B, "(batch, length, N)", (batch, length, states)),
        ("C", C, "(batch, length, N)", (batch, length, states)),
        ("D", D, "(D,)", (channels,)),
        ("z", z, "(batch, length, D)", (batch, length, channels)),
        ("h0", h0, "(batch, D, N)", (batch, channels, states)),
    ):
        if part is not None and part.shape != shape:
            raise ValueError(f"need {name} {letters}, {shape} here; got {tuple(part.shape)}")
    require_real(x, dt, A, B, C, D, z, h0)
