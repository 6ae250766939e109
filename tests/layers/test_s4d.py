import math
import operator

import numpy as np
import pytest
import torch
from silence import check_silence
from streaming import check_steps, check_streaming

from sssm.layers.s4d import S4D


def s4d(channels=3, state_size=4, sample_rate_hz=100, slowest_s=1.0, dt_max=0.4):
    torch.manual_seed(0)
    return S4D(
        channels=channels,
        state_size=state_size,
        sample_rate_hz=sample_rate_hz,
        dt_min=0.02,
        dt_max=dt_max,
        slowest_s=slowest_s,
    )


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [2, 21, 130])
def test_the_streaming_contract(length):
    check_streaming(s4d(), noise(2, length, 3))


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_the_streaming_contract_at_another_rate(rate):
    check_streaming(s4d(sample_rate_hz=16_000, slowest_s=math.inf).at_rate(rate), noise(2, 9, 3))


@torch.no_grad()
def test_step_equals_forward_over_16000_elements_in_float32(monkeypatch):
    layer = s4d(channels=2, slowest_s=math.inf, dt_max=1e-1)
    with torch.no_grad():
        layer.log_decay -= 6  # modes that hardly decay: a drifting phase would show
    system = layer.discrete()
    monkeypatch.setattr(layer, "discrete", lambda: system)  # once, not at every step
    check_steps(layer, noise(1, 16_000, 2))


def test_the_output_is_the_paper_written_out_in_numpy():
    """A = -exp(log_decay) - 1 / (slowest dt) + i frequency, held for dt; y = 2 Re C h + D x."""
    layer = s4d().double()
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    dt = np.exp(p["log_dt"])[:, None]
    A = -np.exp(p["log_decay"]) - 1 / (1.0 * 100 * dt) + 1j * p["frequency"]
    dA, dB = np.exp(dt * A), (np.exp(dt * A) - 1) / A
    C = p["C"][..., 0] + 1j * p["C"][..., 1]
    C[np.abs(p["frequency"] * dt) > np.pi] = 0
    x = noise(2, 30, 3).double()
    h, expected = np.zeros((2, 3, 4)), []
    for x_t in x.numpy().swapaxes(0, 1):
        h = dA * h + dB * x_t[..., None]
        expected.append(2 * (C * h).sum(axis=-1).real + p["D"] * x_t)
    y, state = layer(x)
    np.testing.assert_allclose(y.detach(), np.stack(expected, axis=1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.h.detach(), h, rtol=1e-10, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("slowest_s", [0.25, 1.0])
def test_no_mode_remembers_longer_than_the_bound_whatever_is_learned(slowest_s):
    for log_decay in (-1_000.0, -20.0, 0.0, 20.0):
        for log_dt in (-20.0, 0.0, 20.0):
            layer = s4d(slowest_s=slowest_s).double()
            layer.log_decay.fill_(log_decay)
            layer.log_dt.fill_(log_dt)
            dA, dB, C = layer.discrete()
            assert dA.abs().max() <= math.exp(-1 / (100 * slowest_s)) * (1 + 1e-12)
            assert all(part.isfinite().all() for part in (dA, dB, C))


@torch.no_grad()
def test_the_bound_is_the_same_time_at_every_rate():
    layer = s4d(sample_rate_hz=16_000).double()
    layer.log_decay.fill_(-1_000)
    for rate in (8_000, 16_000, 48_000):
        dA, _, _ = layer.at_rate(rate).discrete()
        torch.testing.assert_close(dA.abs(), torch.full_like(dA.abs(), math.exp(-1 / rate)))


def test_without_a_bound_every_gradient_is_finite():
    layer = s4d(slowest_s=math.inf)
    y, state = layer(noise(2, 9, 3))
    (y.square().sum() + state.h.abs().square().sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@torch.no_grad()
def test_a_mode_that_turns_by_more_than_pi_is_silent():
    """At 8 kHz the modes above 4 kHz are, those below sound as they did."""
    layer = s4d(channels=1, sample_rate_hz=16_000, slowest_s=math.inf).double()
    layer.log_dt.fill_(math.log(1 / 16_000))
    layer.frequency.copy_(2 * math.pi * torch.tensor([[1_000.0, 3_999, 4_001, 8_001]]))
    heard = [(layer.at_rate(rate).discrete()[2] != 0).tolist() for rate in (8_000, 16_000, 48_000)]
    assert heard == [[[1, 1, 0, 0]], [[1, 1, 1, 0]], [[1, 1, 1, 1]]]


@torch.no_grad()
def test_poles_stay_where_they_are_at_every_rate():
    layer = s4d(sample_rate_hz=16_000).double()
    dA = layer.discrete()[0]
    torch.testing.assert_close(layer.at_rate(48_000).discrete()[0] ** 3, dA, rtol=1e-6, atol=0)
    torch.testing.assert_close(layer.at_rate(8_000).discrete()[0], dA**2, rtol=1e-6, atol=0)


def test_at_rate_shares_the_weights_and_the_way_back_is_exact():
    layer = s4d(sample_rate_hz=16_000)
    other = layer.at_rate(44_100)
    assert all(map(operator.is_, layer.parameters(), other.parameters()))
    assert list(layer.state_dict()) == list(other.state_dict())
    assert all(map(torch.equal, other.at_rate(16_000).discrete(), layer.discrete()))


@torch.no_grad()
def test_silence_decays_to_exact_zero_in_both_forms():
    layer = s4d(slowest_s=0.25)
    check_silence(layer, layer(noise(1, 100, 3))[1], 1_500)


@torch.no_grad()
def test_mixed_precision_leaves_it_alone():
    layer, x = s4d(), noise(2, 9, 3)
    half = x.bfloat16()
    y, state = layer(half)
    assert torch.equal(y, layer(half.float())[0])
    stepped, _ = layer.step(half[:, 0], state)
    assert torch.equal(stepped, layer.step(half[:, 0].float(), state)[0])


@torch.no_grad()
def test_it_compiles_without_a_break():
    layer, x = s4d(), noise(1, 10, 3)
    y, state = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(y, layer(x)[0])
    assert torch.equal(state.h, layer(x)[1].h)
