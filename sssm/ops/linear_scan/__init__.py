"""Linear scan h_t = a_t h_(t-1) + b_t, real or complex: the recurrence of every diagonal model.

`reference.py` says what it means; `parallel.py` is one compiled pass on a CPU, `kernel.py` one on a
GPU.  Only this file knows all of them.  The gradient is the same scan run backwards in time with
conjugated decays, whose first state is the gradient of the last.

The layers here never want all states, so none of them calls it; the kernels of `selective_scan`
carry states from chunk to chunk by this one's.
"""

import torch
from torch import Tensor

from sssm.ops.linear_scan import parallel
from sssm.ops.linear_scan.reference import linear_scan_reference, linear_scan_step
from sssm.ops.operator import Operator, in_full

__all__ = ["linear_scan", "linear_scan_reference", "linear_scan_step"]


_op = Operator("linear_scan", parallel.linear_scan_parallel)


@_op.register_fake
def _fake(a: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    return b.new_empty(b.shape), h0.new_empty(h0.shape)


def _save(ctx, inputs, output) -> None:
    a, _, h0 = inputs
    ctx.save_for_backward(a, h0, output[0])


def _backward(ctx, dh: Tensor, dlast: Tensor):
    a, h0, h = ctx.saved_tensors
    length = a.shape[1]
    if length == 0:
        return torch.zeros_like(a), torch.zeros_like(h), dlast.clone()
    after = torch.cat([a[:, 1:], torch.ones_like(a[:, :1])], dim=1)  # decay from t to t + 1
    db = _op(after.conj().resolve_conj().flip(1), dh.flip(1), dlast)[0].flip(1)
    before = torch.cat([h0[:, None], h[:, :-1]], dim=1)
    return db * before.conj(), db, db[:, 0] * a[:, 0].conj()


_op.register_autograd(_backward, setup_context=_save)


def _cuda(a: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.linear_scan.kernel import linear_scan_triton

    return linear_scan_triton(a, b, h0)


_op.register_kernel("cuda", _cuda)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    """All states of h_t = a_t h_(t-1) + b_t, and the last one.

    Args:
        a: (batch, length, lanes) decay, |a| <= 1 for a stable filter; length 0 is a chunk too.
        b: (batch, length, lanes) input.
        h0: (batch, lanes) state before the first element.

    Returns:
        h (batch, length, lanes), the state after every element, and last (batch, lanes), the state
        to hand to the next call: a copy of h0 when length is 0.

    Raises:
        ValueError: shapes or dtypes do not agree.
    """
    if a.dim() != 3 or a.shape != b.shape or h0.shape != (b.shape[0], b.shape[2]):
        raise ValueError(
            f"need a and b (batch, length, lanes) and h0 (batch, lanes); "
            f"got a {tuple(a.shape)}, b {tuple(b.shape)}, h0 {tuple(h0.shape)}"
        )
    if not a.dtype == b.dtype == h0.dtype:
        raise ValueError(f"need one dtype; got a {a.dtype}, b {b.dtype}, h0 {h0.dtype}")
    if a.device.type != "cpu":
        return _op(a, b, h0)
    h, last = _op(*in_full((a, b, h0)))
    return h.to(b.dtype), last.to(h0.dtype)
