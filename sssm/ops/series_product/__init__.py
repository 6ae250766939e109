"""Product of power series cut off after L terms, rows of coefficients.

Its gradients are worked out here: PyTorch's own of a real transform is a complex one, twice the
work, and keeps spectra.
"""

from torch import Tensor

from sssm.ops.operator import operator
from sssm.ops.series_product import parallel
from sssm.ops.series_product.reference import series_product_reference

__all__ = ["correlation", "series_product", "series_product_reference"]


@operator("series_product")
def _product(a: Tensor, b: Tensor) -> Tensor:
    return parallel.series_product_parallel(a, b)


@operator("series_correlation")
def correlation(c: Tensor, a: Tensor) -> Tensor:
    """sum_(l >= k) c_l a_(l - k), all (..., L): the adjoint of multiplying by a."""
    return parallel.correlation(c, a)


_product.register_kernel("cuda", parallel.series_product_parallel)
correlation.register_kernel("cuda", parallel.correlation)
_product.register_fake(lambda a, b: a.new_empty(a.shape))
correlation.register_fake(lambda c, a: a.new_empty(a.shape))


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, dc: Tensor) -> tuple[Tensor, Tensor]:
    a, b = ctx.saved_tensors
    return correlation(dc, b), correlation(dc, a)


_product.register_autograd(_backward, setup_context=_save)


def series_product(a: Tensor, b: Tensor) -> Tensor:
    """The first L coefficients of a b.

    Args:
        a, b: (..., L) real, at least one coefficient.

    Returns:
        (..., L).

    Raises:
        ValueError: shapes do not agree.
    """
    if a.shape != b.shape or a.dim() == 0 or a.shape[-1] == 0:
        raise ValueError(
            f"need a and b (..., L), L at least 1; got a {tuple(a.shape)}, b {tuple(b.shape)}"
        )
    product: Tensor = _product(a, b)
    return product
