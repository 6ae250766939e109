"""Reciprocal of a power series cut off after L terms, rows of coefficients.

The gradient is that of the result, -1 / a^2, whatever the way to it.
"""

from torch import Tensor

from sssm.ops.operator import Operator, in_full, require_real
from sssm.ops.series_reciprocal import parallel
from sssm.ops.series_reciprocal.reference import series_reciprocal_reference

__all__ = ["series_reciprocal", "series_reciprocal_reference"]


_reciprocal = Operator("series_reciprocal", parallel.series_reciprocal_parallel)
_reciprocal_backward = Operator("series_reciprocal_backward", parallel.series_reciprocal_backward)
_reciprocal.register_kernel("cuda", parallel.series_reciprocal_parallel)
_reciprocal_backward.register_kernel("cuda", parallel.series_reciprocal_backward)
_reciprocal.register_fake(lambda a: a.new_empty(a.shape))
_reciprocal_backward.register_fake(lambda inverse, dy: inverse.new_empty(inverse.shape))


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(output)


def _backward(ctx, dy: Tensor) -> Tensor:
    return _reciprocal_backward(*ctx.saved_tensors, dy)


_reciprocal.register_autograd(_backward, setup_context=_save)


def series_reciprocal(a: Tensor) -> Tensor:
    """The first L coefficients of 1 / a.

    Args:
        a: (..., L) real, at least one coefficient, the first not 0.

    Returns:
        (..., L).

    Raises:
        ValueError: there is no coefficient, or numbers are of another kind.
    """
    if a.dim() == 0 or a.shape[-1] == 0:
        raise ValueError(f"need a (..., L), L at least 1; got {tuple(a.shape)}")
    require_real(a)
    if a.numel() == 0:  # of no rows there is no FFT
        return a.clone()
    (precise,) = in_full((a,))
    inverse: Tensor = _reciprocal(precise).to(a.dtype)
    return inverse
