import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.signal import cont2discrete

from sssm.math.discretize import bilinear, bilinear_diagonal, zoh, zoh_diagonal
from sssm.math.hippo import hippo_legs

DT = 1 / 16_000


@pytest.mark.parametrize(("rule", "name"), [(zoh, "zoh"), (bilinear, "bilinear")])
def test_dense_rules_agree_with_scipy(rule, name):
    A, B = hippo_legs(6)
    dA, dB = rule(A, B, 0.1)
    system = (A.numpy(), B.numpy()[:, None], np.eye(6), np.zeros((6, 1)))
    expected = cont2discrete(system, 0.1, method=name)
    assert_allclose(dA, expected[0], rtol=0, atol=1e-12)
    assert_allclose(dB, expected[1][:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("diagonal", "dense"), [(zoh_diagonal, zoh), (bilinear_diagonal, bilinear)]
)
def test_diagonal_rules_are_the_dense_ones(diagonal, dense):
    """For a batch of systems, each with its own dt; one of the modes stands still (A = 0)."""
    A = torch.tensor([[0, -1 + 5j, -300j], [-1e-3, -2, -40 + 1e4j]], dtype=torch.complex128)
    B = torch.tensor([[1, 2j, 3], [-1, 1, 1 + 1j]], dtype=torch.complex128)
    dt = torch.tensor([DT, 3 * DT], dtype=torch.float64)
    dA, dB = diagonal(A, B, dt[:, None])
    full_dA, full_dB = dense(torch.diag_embed(A), B, dt)
    assert_allclose(torch.diag_embed(dA), full_dA, rtol=0, atol=1e-13)
    assert_allclose(dB, full_dB, rtol=0, atol=1e-16)


def test_zoh_near_a_mode_that_stands_still():
    """(exp(z) - 1) / z and its gradient stay exact where z is too small to divide by."""
    z = torch.tensor([0, 1e-3, 2e-4, 9e-6, 1.1e-5, 1e-8, 1e-5j, -1e-12j], dtype=torch.complex128)
    leaf = z.clone().requires_grad_()
    _, dB = zoh_diagonal(leaf, torch.ones_like(z), 1.0)
    expected = 1 + z / 2 + z**2 / 6 + z**3 / 24 + z**4 / 120 + z**5 / 720
    assert_allclose(dB.detach(), expected, rtol=1e-15)
    (gradient,) = torch.autograd.grad(dB, leaf, torch.ones_like(z))
    slope = 1 / 2 + z / 3 + z**2 / 8 + z**3 / 30
    assert_allclose(gradient, slope.conj().resolve_conj(), rtol=1e-9)


def test_zoh_and_its_gradient_are_as_exact_for_slow_modes():
    """In float32 against float64, over the whole range in which a division would lose digits."""
    z = -torch.logspace(-9, 0, 400, dtype=torch.float64)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaf = z.to(dtype).requires_grad_()
        _, dB = zoh_diagonal(leaf, torch.ones_like(leaf), 1.0)
        dB.sum().backward()
        found.append((dB.detach(), leaf.grad))
    for exact, rounded in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(rounded.double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("rule", [zoh_diagonal, bilinear_diagonal])
def test_float32_stays_float32(rule):
    A = torch.tensor([-1 + 2j], dtype=torch.complex64)
    dA, dB = rule(A, torch.ones_like(A), torch.tensor([DT]))
    assert dA.dtype == dB.dtype == torch.complex64
