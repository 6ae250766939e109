import pytest
import torch
from numerics import assert_near

from sssm.ops.long_conv import long_conv
from sssm.ops.series_reciprocal import series_reciprocal, series_reciprocal_reference


def series(length):
    """Near 1, so that its reciprocal stays small."""
    g = torch.Generator().manual_seed(length)
    falling = 0.1 * torch.randn(3, length, generator=g, dtype=torch.float64)
    return falling / (1 + torch.arange(length)) + torch.eye(1, length, dtype=torch.float64)


def gradient(form, a):
    a = a.clone().requires_grad_()
    y = form(a)
    ways = torch.linspace(1, 2, y.shape[-1], dtype=y.dtype)
    return torch.autograd.grad((ways * y.square()).sum(), a)[0]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 100])
def test_it_and_its_gradient_are_those_of_the_definition(length):
    a = series(length)
    assert_near(series_reciprocal(a), series_reciprocal_reference(a), 1e-13, "reciprocal")
    expected = gradient(series_reciprocal_reference, a)
    assert_near(gradient(series_reciprocal, a), expected, 1e-13, "gradient")


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16_000])
def test_times_the_series_it_is_one(length):
    a = series(length)
    one = torch.eye(1, length, dtype=torch.float64).expand(3, -1)
    product = long_conv(a.T[None], series_reciprocal(a))[0].T
    assert_near(product, one, 1e-13, "one")


def test_a_longer_one_has_no_more_to_remember():
    """Newton's turns are not differentiated."""
    remembered = []
    for length in (2, 100):
        waiting, seen = [series_reciprocal(series(length).requires_grad_()).grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [before for before, _ in node.next_functions]
        remembered.append(len(seen))
    assert remembered[0] == remembered[1]


def test_its_gradient_is_that_of_small_differences():
    assert torch.autograd.gradcheck(series_reciprocal, series(9).requires_grad_())


@pytest.mark.parametrize("length", [1, 9])
def test_of_no_rows_there_is_nothing(length):
    a = torch.ones(0, length, requires_grad=True)
    inverse = series_reciprocal(a)
    inverse.sum().backward()
    assert inverse.shape == a.grad.shape == (0, length)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_exact_inside(dtype):
    a = series(9).to(dtype)
    inverse = series_reciprocal(a)
    assert inverse.dtype == gradient(series_reciprocal, a).dtype == dtype
    assert torch.equal(inverse, series_reciprocal(a.float()).to(dtype))


def test_the_op_is_registered_properly():
    a = series(9).requires_grad_()
    torch.library.opcheck(torch.ops.sssm.series_reciprocal.default, (a,))


@pytest.mark.parametrize("shape", [(), (3, 0)])
def test_a_series_has_a_coefficient(shape):
    with pytest.raises(ValueError, match=r"need a \(\.\.\., L\)"):
        series_reciprocal(torch.ones(shape))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_a_wrong_kind_of_number_is_named(dtype):
    with pytest.raises(ValueError, match=f"need real operands, in floating point; got {dtype}"):
        series_reciprocal(torch.ones(3, dtype=dtype))
