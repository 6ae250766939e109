import numpy as np
import pytest
import torch

from sssm.math.powers import powers


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_it_raises_the_rounded_number_itself(dtype):
    """Against multiplying in extended precision, 16,000 times, on the unit circle and inside."""
    a = torch.tensor([0.9999, 0.5, 1.0]).to(dtype)
    if dtype.is_complex:
        a = a * torch.polar(torch.ones(3), torch.tensor([0.3, 3.0, -2.0]))
    steps = np.broadcast_to(a.numpy().astype(np.clongdouble)[:, None], (3, 16_000))
    found = powers(a, torch.arange(1, 16_001))
    assert found.dtype == torch.complex128
    np.testing.assert_allclose(found, np.cumprod(steps, axis=1), rtol=1e-10, atol=1e-14)


def test_zero_to_the_zeroth_is_one():
    found = powers(torch.zeros(2, dtype=torch.complex64), torch.tensor([0, 1, 7])).abs()
    assert torch.equal(found[0, :1], torch.ones(1, dtype=torch.float64))
    assert found[:, 1:].max() < 1e-290


def test_an_exponent_may_be_more_than_float32_counts_to():
    """An odd power of -1 after 17 minutes of samples at 16 kHz."""
    found = powers(torch.tensor([-1.0]), torch.tensor([2**24 + 1]))
    np.testing.assert_allclose(found, [[-1]], atol=1e-8)


def test_no_exponents_give_no_powers():
    assert powers(torch.ones(2, 3), torch.arange(0)).shape == (2, 3, 0)


def test_gradients_are_those_of_small_differences_and_finite_at_zero():
    a = torch.tensor([0.3 + 0.4j, -0.9j, 0.99], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: powers(a, torch.arange(6)), a)
    a = torch.zeros(1, dtype=torch.complex128, requires_grad=True)
    powers(a, torch.arange(3)).real.sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
