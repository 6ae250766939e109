import itertools
import math
import operator

import pytest
import torch
from silence import check_silence
from streaming import check_steps, check_streaming

from sssm.layers.lssl import LSSL
from sssm.layers.s4 import S4
from sssm.math.dplr import dense_dplr
from sssm.math.krylov import krylov, squarings
from sssm.math.nplr import dplr_legs


def s4(channels=3, state_size=8, dt_min=1e-2, dt_max=0.5):
    torch.manual_seed(0)
    return S4(
        channels=channels,
        state_size=state_size,
        sample_rate_hz=16_000,
        dt_min=dt_min,
        dt_max=dt_max,
    )


def trained(layer, by=0.2):
    """The layer away from HiPPO, every parameter and every channel its own way."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += by * torch.randn_like(parameter)
    return layer


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [2, 8, 21])
def test_the_streaming_contract(length):
    check_streaming(trained(s4()), noise(2, length, 3))


def test_the_streaming_contract_at_another_rate():
    check_streaming(trained(s4()).at_rate(44_100), noise(2, 10, 3))


@torch.no_grad()
def test_step_equals_forward_over_16000_elements_in_float32(monkeypatch):
    layer = s4(channels=2, state_size=64, dt_min=1e-3, dt_max=1e-1)
    system = layer.discrete()
    monkeypatch.setattr(layer, "discrete", lambda: system)  # once, not at every step
    check_steps(layer, noise(1, 16_000, 2))


@pytest.mark.parametrize("length", [0, 1, 2, 255, 256])
def test_algorithm_1_is_the_krylov_kernel(length):
    """Odd lengths have no node at -1, even ones do: there it is finite, and right."""
    layer = trained(s4(state_size=64, dt_min=1e-3)).double()
    dA, dB, C = dense_dplr(layer.discrete())
    expected = (C[..., None] * krylov(squarings(dA, length), dB, length)).sum(dim=-2)
    torch.testing.assert_close(layer.kernel(length), expected, rtol=1e-10, atol=1e-12)


def test_the_kernel_is_lssls_from_the_same_matrices():
    """A = V (Lambda - P P^*) V^*, B and C taken from the S4 layer, in the LSSL of 64 states."""
    layer = s4(state_size=64, dt_min=1e-3, dt_max=1e-1).double()
    V = dplr_legs(64).V

    def pairs(half):
        return torch.cat([half, half.conj()], dim=-1)

    P, B, C = (pairs(torch.view_as_complex(p.detach())) for p in (layer.P, layer.B, layer.C))
    Lambda = pairs(torch.complex(-layer.log_decay.exp(), layer.frequency).detach()[0])
    dense = LSSL(channels=3, state_size=64, dt_min=1.0, dt_max=1.0).double()
    dense.A = (V @ (torch.diag(Lambda) - P[0, :, None] @ P[0, None].conj()) @ V.mH).real
    dense.B = (V @ B[0]).real
    dense.C.data = (C @ V.mH).real
    dense.log_dt.data = layer.log_dt.data
    torch.testing.assert_close(layer.kernel(2_000), dense.kernel(2_000), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_rates_approach_one_another_as_dt_squared():
    """K[l] / dt is the impulse response at (l + 1/2) dt: sample l at 16 kHz, 3 l + 1 at 48 kHz."""
    layer = s4(dt_min=1e-2, dt_max=2e-2).double()

    def distance(rate_hz):
        slow, fast = layer.at_rate(rate_hz), layer.at_rate(3 * rate_hz)
        length = 200 * rate_hz // 16_000
        difference = slow.kernel(length) - 3 * fast.kernel(3 * length)[:, 1::3]
        return rate_hz * difference.abs().max().item()

    distances = [distance(16_000 * 2**halvings) for halvings in range(5)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(distances)]
    assert orders == pytest.approx([2, 2, 2, 2], abs=0.15)
    assert distances[0] < 0.02 * 16_000 * layer.kernel(200).abs().max()


def test_at_rate_shares_the_weights():
    layer = s4()
    other = layer.at_rate(48_000)
    assert all(map(operator.is_, layer.parameters(), other.parameters()))
    assert torch.equal(other.at_rate(16_000).kernel(5), layer.kernel(5))


@torch.no_grad()
def test_silence_decays_to_exact_zero_in_both_forms():
    layer = s4(dt_min=0.3)
    check_silence(layer, layer(noise(1, 100, 3))[1], 2_000)


def test_it_decays_whatever_is_learned():
    """The eigenvalues of dA stay in the unit circle."""
    layer = trained(s4(channels=50), by=3.0).double()
    assert torch.linalg.eigvals(dense_dplr(layer.discrete())[0]).abs().max() < 1


@torch.no_grad()
def test_it_compiles_without_a_break():
    layer, x = trained(s4()), noise(1, 10, 3)
    y, state = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(y, layer(x)[0])
    assert torch.equal(state.h, layer(x)[1].h)


def test_an_odd_state_size_is_refused():
    with pytest.raises(ValueError, match="N must be even"):
        s4(state_size=7)
