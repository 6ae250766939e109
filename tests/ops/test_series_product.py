import pytest
import torch
from numerics import assert_near

from sssm.ops.series_product import series_product, series_product_reference


def operands(length):
    g = torch.Generator().manual_seed(length)
    return list(torch.randn(2, 3, length, generator=g, dtype=torch.float64))


def gradients(form, operands):
    leaves = [t.clone().requires_grad_() for t in operands]
    y = form(*leaves)
    ways = torch.linspace(1, 2, y.shape[-1], dtype=y.dtype)
    return torch.autograd.grad((ways * y.square()).sum(), leaves)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 100])
def test_it_and_its_gradients_are_those_of_the_definition(length):
    inputs = operands(length)
    found = [series_product(*inputs), *gradients(series_product, inputs)]
    expected = [
        series_product_reference(*inputs),
        *gradients(series_product_reference, inputs),
    ]
    for f, e in zip(found, expected, strict=True):
        assert_near(f, e, 1e-13, "product")


def test_gradients_are_those_of_small_differences():
    assert torch.autograd.gradcheck(series_product, [t.requires_grad_() for t in operands(9)])


def test_the_op_is_registered_properly():
    inputs = tuple(t.requires_grad_() for t in operands(9))
    torch.library.opcheck(torch.ops.sssm.series_product.default, inputs)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((3, 0), (3, 0)), ((), ())])
def test_shapes_are_checked(shapes):
    with pytest.raises(ValueError, match=r"need a and b \(\.\.\., L\)"):
        series_product(*map(torch.ones, shapes))
