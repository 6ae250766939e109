"""The discrete diagonal-plus-low-rank system against the bilinear rule on full complex matrices."""

import torch

from sssm.math.discretize import bilinear
from sssm.math.dplr import (
    bilinear_dplr,
    dense_dplr,
    pair_sum,
    row_to_complex,
    row_to_real,
    to_complex,
    to_real,
)

DT = torch.tensor([[1e-3], [0.3]], dtype=torch.float64)


def half_system():
    """Lambda, P, B, C of two channels, three modes each."""
    g = torch.Generator().manual_seed(0)
    Lambda, P, B, C = torch.randn(4, 2, 3, generator=g, dtype=torch.complex128)
    return torch.complex(-Lambda.real.abs(), 5 * Lambda.imag), P, B, C


def pairs(half):
    return torch.cat([half, half.conj()], dim=-1)


def test_it_is_the_bilinear_rule():
    Lambda, P, B, C = half_system()
    full_P = pairs(P)[..., None]
    dA, dB = bilinear(torch.diag_embed(pairs(Lambda)) - full_P @ full_P.mH, pairs(B), DT[:, 0])

    system = bilinear_dplr(Lambda, P, B, C, DT)
    torch.testing.assert_close(pairs(system.dB), dB, rtol=1e-12, atol=1e-12)
    assert torch.equal(system.C, C)
    h = B + 1j * C  # any state
    stepped = system.poles * h - system.Q * pair_sum(system.R * h)
    expected = (dA @ pairs(h)[..., None])[..., 0]
    torch.testing.assert_close(pairs(stepped), expected, rtol=1e-12, atol=1e-12)


def test_the_dense_form_is_the_same_system():
    system = bilinear_dplr(*half_system(), DT)
    dA, dB, C = dense_dplr(system)
    h = system.C.conj()  # any state
    stepped = system.poles * h - system.Q * pair_sum(system.R * h)
    torch.testing.assert_close((dA @ to_real(h)[..., None])[..., 0], to_real(stepped))
    torch.testing.assert_close(to_complex(dB), system.dB)
    torch.testing.assert_close((C * to_real(h)).sum(-1, keepdim=True), pair_sum(system.C * h))


def test_there_and_back():
    _, P, _, C = half_system()
    assert torch.equal(to_complex(to_real(P)), P)
    assert torch.equal(row_to_complex(row_to_real(C)), C)
