import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sssm.math.s4d import s4d_inv, s4d_legs, s4d_lin, s4d_real


@pytest.mark.parametrize("modes", [s4d_inv, s4d_legs, s4d_lin, s4d_real])
def test_modes_decay_and_keep_one_of_each_pair(modes):
    A = modes(8)
    assert A.dtype == torch.complex128
    assert A.shape == (8,)
    assert (A.real < 0).all()
    assert (A.imag >= 0).all()


def test_the_papers_formulas():
    assert_allclose(s4d_lin(3).numpy(), [-0.5, -0.5 + 1j * np.pi, -0.5 + 2j * np.pi])
    assert_allclose(s4d_inv(2).numpy(), -0.5 + 1j * np.array([12 / np.pi, 4 / 3 / np.pi]))
    assert_allclose(s4d_real(3).numpy(), [-1, -2, -3])


def test_legs_has_the_eigenvalues_of_the_normal_part():
    n = np.arange(16)
    pairs = np.sqrt((2 * n[:, None] + 1) * (2 * n + 1)) / 2
    normal = np.where(n[:, None] > n, -pairs, pairs) - np.diag(np.diag(pairs)) - np.eye(16) / 2
    expected = np.sort(np.linalg.eigvals(normal).imag)[8:]
    assert_allclose(s4d_legs(8).numpy(), -0.5 + 1j * expected, atol=1e-10)


def test_inv_follows_the_eigenvalues_of_legs():
    """S4D-Inv is their asymptotic law: the fastest mode of 256 states agrees within 2%."""
    assert s4d_inv(128)[0].imag / s4d_legs(128)[-1].imag == pytest.approx(1, abs=0.02)
