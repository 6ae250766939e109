"""HiPPO against what it must do: exp(t A) B is the polynomial basis, seen from t ago."""

import numpy as np
import pytest
import torch
from numpy.polynomial import laguerre, legendre
from numpy.testing import assert_allclose

from sssm.math.hippo import hippo_lagt, hippo_legs, hippo_legt

N = 8
TIMES = [0.0, 0.1, 0.7, 2.0]


def impulse_response(A, B, t):
    return (torch.linalg.matrix_exp(t * A) @ B).numpy()


@pytest.mark.parametrize("t", TIMES)
def test_legs_is_legendre_on_an_exponentially_stretched_past(t):
    basis = np.sqrt(2 * np.arange(N) + 1) * legendre.legvander(2 * np.exp(-t) - 1, N - 1)[0]
    assert_allclose(impulse_response(*hippo_legs(N), t), np.exp(-t) * basis, atol=1e-11)


@pytest.mark.parametrize("t", TIMES)
def test_lagt_is_laguerre_with_an_exponential_weight(t):
    basis = laguerre.lagvander(t, N - 1)[0]
    assert_allclose(impulse_response(*hippo_lagt(N), t), np.exp(-t) * basis, atol=1e-11)


@pytest.mark.parametrize("degree", range(4))
def test_legt_slides_a_window_exactly_over_polynomials(degree):
    """c' = A c + B u, where c are the Legendre coefficients of the last unit of time of t^degree.

    The truncation to N coefficients costs nothing while u itself is a polynomial below degree N.
    """
    nodes, weights = legendre.leggauss(N + degree)
    basis = np.sqrt(2 * np.arange(N) + 1) * legendre.legvander(nodes, N - 1)
    age = (1 - nodes) / 2

    def coefficients(u):
        return (weights * u) @ basis / 2

    A, B = (part.numpy() for part in hippo_legt(N))
    t = 1.7
    c = coefficients((t - age) ** degree)
    dc = coefficients(degree * (t - age) ** max(degree - 1, 0))
    assert_allclose(dc, A @ c + B * t**degree, atol=1e-11)
