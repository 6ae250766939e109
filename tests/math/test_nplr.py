import pytest
import torch

from sssm.math.hippo import hippo_lagt, hippo_legs, hippo_legt
from sssm.math.nplr import dplr_lagt, dplr_legs, dplr_legt

FORMS = [(dplr_legs, hippo_legs), (dplr_legt, hippo_legt), (dplr_lagt, hippo_lagt)]


def largest(x):
    return x.abs().max().item()


@pytest.mark.parametrize("N", [2, 16, 64])
@pytest.mark.parametrize(("dplr", "hippo"), FORMS)
def test_theorem_1(dplr, hippo, N):
    """A = V (Lambda - P P^*) V^* with V unitary, and B in the same basis."""
    (Lambda, P, B, V), (A, b) = dplr(N), hippo(N)
    assert largest(V @ (torch.diag(Lambda) - P @ P.mH) @ V.mH - A) < 1e-10
    assert largest(V.mH @ V - torch.eye(N)) < 1e-10
    assert largest(V @ B - b) < 1e-10


@pytest.mark.parametrize("dplr", [dplr_legs, dplr_legt, dplr_lagt])
def test_the_second_half_is_the_conjugate_of_the_first(dplr):
    Lambda, P, B, V = dplr(16)
    for modes in (Lambda, P, B, V.T):
        torch.testing.assert_close(modes[8:], modes[:8].conj(), rtol=0, atol=1e-13)
    assert (Lambda.imag[:8] > 0).all()


def test_an_odd_size_is_refused():
    with pytest.raises(ValueError, match="N must be even"):
        dplr_legs(3)
