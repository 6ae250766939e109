"""One step of the selective model, out of place: what Mamba does live, element after element.

`reference.py` says it in plain tensors, which is also what a CPU runs: registered operators have a
price at every call.  `kernel.py` is for a GPU, behind an operator whose gradients on other devices
are in `parallel.py`.  Only this file knows all of them.
"""

import torch
from torch import Tensor

from sssm.ops.operator import Operator, in_full, require_real
from sssm.ops.state_update import parallel
from sssm.ops.state_update.reference import state_update_reference

__all__ = ["state_update", "state_update_reference"]


_op = Operator("state_update", parallel.state_update_parallel)
_op_backward = Operator("state_update_backward", parallel.state_update_backward)


@_op.register_fake
def _fake(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return x.new_empty(x.shape), h.new_empty(h.shape)


@_op_backward.register_fake
def _fake_backward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    D, z = A[:0, 0] if D is None else D, x[:0, 0] if z is None else z
    grads = (t.new_empty(t.shape) for t in (x, dt, A, B, C, D, z, h))
    return tuple(grads)  # type: ignore[return-value]


def _cuda(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    from sssm.ops.state_update.kernel import state_update_triton

    return state_update_triton(x, dt, A, B, C, D, z, h, leak)


def _cuda_backward(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None,
    h: Tensor, leak: float, dy: Tensor, dh: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    from sssm.ops.state_update.kernel import state_update_backward_triton

    return state_update_backward_triton(x, dt, A, B, C, D, z, h, leak, dy, dh)


def _save(ctx, inputs, output) -> None:
    *tensors, ctx.leak = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, dy: Tensor, dh: Tensor):
    D, z = ctx.saved_tensors[5:7]
    *grads, dD, dz, dh0 = _op_backward(*ctx.saved_tensors, ctx.leak, dy, dh)
    return *grads, None if D is None else dD, None if z is None else dz, dh0, None


_op.register_autograd(_backward, setup_context=_save)
_op.register_kernel("cuda", _cuda)
_op_backward.register_kernel("cuda", _cuda_backward)


def state_update(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    h: Tensor,
    *,
    leak: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """One element of `sssm.ops.selective_scan.selective_scan`.

    Args:
        x, dt: (batch, D) input, and its positive step.
        A: (D, N) negative.
        B, C: (batch, N).
        D: (D,) what passes straight through, or None.
        z: (batch, D) gate, or None.
        h: (batch, D, N) state before the element; it is not changed.
        leak: what the log of every state also loses, at least 0.

    Returns:
        y (batch, D), and the state after the element, 0 where it is negligible.

    Raises:
        ValueError: shapes do not agree, or numbers are of another kind.

    Source: Gu and Dao 2023, arXiv:2312.00752, equations 2a and 2b.
    """
    if x.dim() != 2 or A.dim() != 2 or x.shape != dt.shape or x.shape[1] != A.shape[0]:
        raise ValueError(
            f"need x and dt (batch, D), and A (D, N); got x {tuple(x.shape)}, "
            f"dt {tuple(dt.shape)}, A {tuple(A.shape)}"
        )
    batch, (channels, states) = x.shape[0], A.shape
    if not B.shape == C.shape == (batch, states):
        raise ValueError(f"need B and C (batch, N); got {tuple(B.shape)} and {tuple(C.shape)}")
    if h.shape != (batch, channels, states):
        raise ValueError(f"need h (batch, D, N); got {tuple(h.shape)}")
    for name, part, shape in (("D", D, (channels,)), ("z", z, tuple(x.shape))):
        if part is not None and part.shape != shape:
            raise ValueError(f"need {name} {shape}; got {tuple(part.shape)}")
    require_real(x, dt, A, B, C, D, z, h)
    with torch.autocast(x.device.type, enabled=False):
        if x.device.type == "cuda":
            return _op(x, dt, A, B, C, D, z, h, leak)
        dtypes = x.dtype, h.dtype
        x, dt, A, B, C, D, z, h = in_full((x, dt, A, B, C, D, z, h))
        y, after = parallel.state_update_parallel(x, dt, A, B, C, D, z, h, leak)
    return y.to(dtypes[0]), after.to(dtypes[1])
