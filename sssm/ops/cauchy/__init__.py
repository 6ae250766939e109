"""Cauchy product: the generating function of diagonal models, from their poles and residues.

`reference.py` says what it means; `parallel.py` is matrix products; `kernel.py` fuses them for a
GPU.  Only this file knows all of them.

`S4.kernel`, the paper's Algorithm 1, calls it with the roots of unity for z and the *discrete*
poles, inside the unit circle, for w: then it is finite at every node.  The paper moves the nodes to
the left half plane instead, z -> 2/dt (1 - z) / (1 + z), which is infinite at z = -1.  The layer
itself needs no kernel; the tests hold it to this one.

Source: Gu et al. 2021, arXiv:2111.00396, Algorithm 1 and appendix C.3.
"""

from torch import Tensor

from sssm.ops.cauchy import parallel
from sssm.ops.cauchy.reference import cauchy_reference
from sssm.ops.operator import Operator

__all__ = ["cauchy", "cauchy_reference"]


_op = Operator("cauchy", parallel.cauchy_parallel)
_op_backward = Operator("cauchy_backward", parallel.cauchy_backward)


@_op.register_fake
def _fake(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    return v.new_empty(v.shape[0], v.shape[1], z.shape[0])


@_op_backward.register_fake
def _fake_backward(
    v: Tensor, z: Tensor, w: Tensor, dtotal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return v.new_empty(v.shape), z.new_empty(z.shape), w.new_empty(w.shape)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, dtotal: Tensor):
    return _op_backward(*ctx.saved_tensors, dtotal)


_op.register_autograd(_backward, setup_context=_save)


def _cuda(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    from sssm.ops.cauchy.kernel import cauchy_triton

    return cauchy_triton(v, z, w)


def _cuda_backward(
    v: Tensor, z: Tensor, w: Tensor, dtotal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from sssm.ops.cauchy.kernel import cauchy_backward_triton

    return cauchy_backward_triton(v, z, w, dtotal)


_op.register_kernel("cuda", _cuda)
_op_backward.register_kernel("cuda", _cuda_backward)


def cauchy(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Sum over n of v_n / (z - w_n) + conj(v_n) / (z - conj(w_n)), for several v at once.

    Args:
        v: (products, H, N) complex residues, one of each conjugate pair.
        z: (L,) complex nodes, none of them a pole.
        w: (H, N) complex poles, one of each conjugate pair.

    Returns:
        (products, H, L) complex.

    Raises:
        ValueError: shapes or dtypes do not agree.
    """
    if v.dim() != 3 or z.dim() != 1 or w.shape != v.shape[1:]:
        raise ValueError(
            f"need v (products, H, N), z (L,) and w (H, N); "
            f"got v {tuple(v.shape)}, z {tuple(z.shape)}, w {tuple(w.shape)}"
        )
    if not v.dtype == z.dtype == w.dtype or not v.is_complex():
        raise ValueError(f"need one complex dtype; got v {v.dtype}, z {z.dtype}, w {w.dtype}")
    return _op(v, z, w)
