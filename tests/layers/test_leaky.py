import math

import numpy as np
import pytest
import torch
from streaming import check_streaming

from sssm.layers.leaky import LeakyMean


def leaky(channels=3, start_s=0.1, slowest_s=1.0):
    layer = LeakyMean(channels=channels, sample_rate_hz=100, start_s=start_s, slowest_s=slowest_s)
    with torch.no_grad():
        layer.log_rate += torch.linspace(-1, 1, channels)  # every channel its own way
    return layer


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [2, 130])
def test_the_streaming_contract(length):
    check_streaming(leaky(), noise(2, length, 3))


def test_it_is_the_formula_written_out_in_numpy():
    layer = leaky().double()
    a = np.exp(-(np.exp(layer.log_rate.detach().numpy()) + 1 / 1.0) / 100)
    x, r, expected = noise(2, 40, 3).double(), np.zeros((2, 3)), []
    for x_t in x.numpy().swapaxes(0, 1):
        r = a * r + (1 - a) * x_t
        expected.append(r)
    y, state = layer(x)
    np.testing.assert_allclose(y.detach(), np.stack(expected, axis=1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.r.detach(), r, rtol=1e-10, atol=1e-12)


def test_it_starts_with_the_time_constant_that_was_asked_for():
    layer = LeakyMean(channels=2, sample_rate_hz=100, start_s=0.5, slowest_s=2.0)
    one, silence = torch.ones(1, 2), layer.init_state(1)
    y, _ = layer.step(one, silence)
    torch.testing.assert_close(y, one - math.exp(-1 / 50))


@torch.no_grad()
@pytest.mark.parametrize("slowest_s", [0.3, 1.0])
@pytest.mark.parametrize("learned", [-1_000.0, -20.0, 20.0])
def test_no_channel_remembers_longer_than_the_bound_whatever_is_learned(slowest_s, learned):
    layer = leaky(start_s=0.1, slowest_s=slowest_s).double()
    layer.log_rate.fill_(learned)
    state = layer(torch.ones(1, 500, 3).double())[1]
    left = layer(torch.zeros(1, 100, 3).double(), state)[0][0, -1]  # one second later
    assert ((left >= 0) & (left <= math.exp(-1 / slowest_s) * (1 + 1e-12))).all()


@torch.no_grad()
def test_silence_decays_to_exact_zero_in_both_forms():
    layer = leaky(slowest_s=0.25)
    layer.log_rate.fill_(-20.0)  # the slowest
    loud = layer(noise(1, 100, 3))[1]
    silence = torch.zeros(1, 1_500, 3)
    assert not layer(silence, loud)[1].r.any()
    state = loud
    for x_t in silence.unbind(dim=1):
        _, state = layer.step(x_t, state)
    assert not state.r.any()


@torch.no_grad()
def test_mixed_precision_leaves_it_alone():
    layer, half = leaky(), noise(2, 9, 3).bfloat16()
    y, state = layer(half)
    assert torch.equal(y, layer(half.float())[0])
    assert torch.equal(layer.step(half[:, 0], state)[0], layer.step(half[:, 0].float(), state)[0])


@torch.no_grad()
def test_it_compiles_without_a_break():
    layer, x = leaky(), noise(1, 10, 3)
    y, state = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(y, layer(x)[0])
    assert torch.equal(state.r, layer(x)[1].r)
