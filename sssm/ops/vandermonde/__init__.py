"""Vandermonde product: the convolution kernel of a diagonal state-space model.

`reference.py` says what it means; `parallel.py` is one batched matrix product; `kernel.py` makes
its powers on a GPU and stores none.  Only this file knows all of them.

Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space
Models", arXiv:2206.11893, eq. 6.
"""

import torch
from torch import Tensor

from sssm.ops.operator import Operator
from sssm.ops.vandermonde import parallel
from sssm.ops.vandermonde.reference import vandermonde_reference

__all__ = ["vandermonde", "vandermonde_reference"]


_op = Operator("vandermonde", parallel.vandermonde_parallel)
_op_backward = Operator("vandermonde_backward", parallel.vandermonde_backward)


@_op.register_fake
def _fake(C: Tensor, dA: Tensor, length: int) -> Tensor:
    return C.new_empty(C.shape[0], length, dtype=C.dtype.to_real())


@_op_backward.register_fake
def _fake_backward(C: Tensor, dA: Tensor, dK: Tensor) -> tuple[Tensor, Tensor]:
    return C.new_empty(C.shape), dA.new_empty(dA.shape)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])


def _backward(ctx, dK: Tensor):
    dC, ddA = _op_backward(*ctx.saved_tensors, dK)
    return dC, ddA, None


_op.register_autograd(_backward, setup_context=_save)


def _cuda(C: Tensor, dA: Tensor, length: int) -> Tensor:
    from sssm.ops.vandermonde.kernel import vandermonde_triton

    return vandermonde_triton(C, dA, length)


def _cuda_backward(C: Tensor, dA: Tensor, dK: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.vandermonde.kernel import vandermonde_backward_triton

    return vandermonde_backward_triton(C, dA, dK)


_op.register_kernel("cuda", _cuda)
_op_backward.register_kernel("cuda", _cuda_backward)


def vandermonde(C: Tensor, dA: Tensor, length: int) -> Tensor:
    """K[h, l] = 2 Re sum_n C[h, n] dA[h, n]^l for l = 0 .. length - 1.

    The factor 2 and the real part stand for the conjugate half of the modes, which is not stored.

    Args:
        C: (H, N) complex.
        dA: (H, N) complex, |dA| <= 1.
        length: L, at least 0.

    Returns:
        (H, length) real.

    Raises:
        ValueError: shapes do not agree.
    """
    if C.dim() != 2 or C.shape != dA.shape:
        raise ValueError(f"need C and dA (H, N); got C {tuple(C.shape)}, dA {tuple(dA.shape)}")
    with torch.autocast(C.device.type, enabled=False):
        return _op(C, dA, length)
