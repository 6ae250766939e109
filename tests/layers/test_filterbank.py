import math
import operator

import numpy as np
import pytest
import torch
from streaming import check_streaming

from sssm.layers.filterbank import Filterbank
from sssm.layers.leaky import SLOWEST_S

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000]
SMALLEST = torch.finfo(torch.float32).tiny


def filterbank(rate=16_000, bands=4):
    """Every parameter of every band its own way; at 16 kHz all bands are heard."""
    layer = Filterbank(bands=bands, sample_rate_hz=16_000)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name != "centre_logit":
                parameter += 0.3 * torch.randn(parameter.shape, generator=g)
    return layer.at_rate(rate)


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("rate", "samples"), [(16_000, 330), (11_025, 130)])
def test_the_streaming_contract(rate, samples):
    check_streaming(filterbank(rate), noise(2, samples, 1))


def written_out(layer, x):
    """Frames (batch, frames, K) of x (batch, samples): the design's words, sample by sample."""
    p = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}
    rate = layer.sample_rate_hz
    centre = 20 + 7_780 / (1 + np.exp(-p["centre_logit"]))
    width = 20 + np.exp(p["width_log"])
    a = np.exp(2 * np.pi * (-width / 2 + 1j * centre) / rate)
    b = 1 - np.abs(a)
    keep = np.exp(-(np.exp(p["gain.log_rate"]) + 1 / SLOWEST_S) / 100)
    share = 1 / (1 + np.exp(-p["gain_share_logit"]))
    ends = {math.floor(m * rate / 400): m for m in range(1, 400)}

    one, two, gain = np.zeros((3, len(x), len(centre)), complex)
    readings, frames = [], []
    for n in range(1, x.shape[1] + 1):
        one = a * one + b * x[:, n - 1, None]
        two = a * two + b * one
        if n not in ends:
            continue
        readings.append(np.abs(two) ** 2)
        if ends[n] % 4 == 0:
            loud = np.log1p(np.mean(readings[-4:], axis=0) / 1e-9)
            gain = keep * gain.real + (1 - keep) * loud
            y = p["scale"] * (loud - share * gain) + p["shift"]
            frames.append(np.where(centre + width > rate / 2, p["unheard"], y))
    return np.stack(frames, axis=1)


@torch.no_grad()
@pytest.mark.parametrize("rate", RATES)
def test_it_is_the_design_written_out_in_numpy(rate):
    layer = filterbank(rate).double()
    x = noise(2, rate // 20 + 7, 1).double()
    y, _ = layer(x)
    assert y.shape == (2, 5, 4)
    np.testing.assert_allclose(y, written_out(layer, x[..., 0].numpy()), rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050])
def test_frames_and_readings_end_where_they_should(rate):
    layer, x = filterbank(rate), noise(1, rate // 40, 1)
    ends = [m * rate // 400 for m in range(1, 11)]
    state = layer.init_state(1)
    frames = 0
    for n in range(1, x.shape[1] + 1):
        before = state.energy
        y, state = layer.step(x[:, n - 1], state)
        assert (n in ends) != torch.equal(before, state.energy)
        frames += y.shape[1]
        assert frames == sum(end <= n for end in ends[3::4])
        if n in ends or n + 1 in ends:
            assert layer(x[:, :n])[0].shape[1] == frames


@torch.no_grad()
@pytest.mark.parametrize("rate", RATES)
def test_a_mode_has_unit_gain_at_its_own_centre(rate):
    """The response to exp(i w t) is that to the cosine plus i times that to the sine."""
    layer = filterbank(rate, bands=7).double()
    centre = layer.centre_hz
    t = torch.arange(rate, dtype=torch.float64) / rate  # one second: all has settled
    for k in (centre < rate / 2).nonzero().flatten().tolist():
        angle = 2 * math.pi * centre[k] * t
        h = layer(torch.stack([angle.cos(), angle.sin()])[..., None])[1].h
        gain = (h[0] + 1j * h[1]).abs()  # of both stages, all modes
        torch.testing.assert_close(gain[:, k], torch.ones(2, dtype=torch.float64))
        others = torch.arange(7) != k
        assert (gain[1, others] < 0.5).all()


@torch.no_grad()
def test_two_stages_reject_what_one_lets_through():
    """12 dB an octave far from the centre: twice as far, a quarter of the amplitude."""
    layer = Filterbank(bands=1, sample_rate_hz=48_000).double()
    f, w = layer.centre_hz.item(), layer.width_hz.item()
    t = torch.arange(48_000, dtype=torch.float64) / 48_000

    def gain(frequency):
        angle = 2 * math.pi * frequency * t
        h = layer(torch.stack([angle.cos(), angle.sin()])[..., None])[1].h
        return (h[0, 1] + 1j * h[1, 1]).abs().item()

    assert gain(f + w / 2) == pytest.approx(0.5, rel=0.01)  # each stage loses 3 dB
    assert gain(f + 20 * w) == pytest.approx(4 * gain(f + 40 * w), rel=0.05)


@torch.no_grad()
def test_bands_are_mel_spaced_and_as_wide_as_the_ears_before_training():
    layer = Filterbank(bands=64, sample_rate_hz=16_000)
    centre, width = layer.centre_hz.numpy(), layer.width_hz.numpy()
    assert (centre[0], centre[-1]) == pytest.approx((60, 7_000), rel=1e-3)
    steps = np.diff(2595 * np.log10(1 + centre / 700))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-2)
    np.testing.assert_allclose(width, 24.7 + 0.107939 * centre, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_silence_is_what_zeros_give_at_the_rate_of_the_training(rate):
    layer = filterbank()
    layer.unheard.copy_(100 + torch.arange(4.0))
    layer.centre_logit[3] = 9.0  # its band reaches beyond 8 kHz
    silence, _ = layer(torch.zeros(1, 160, 1))
    assert silence[0, 0, 3] == 103
    torch.testing.assert_close(layer.at_rate(rate).silence(), silence[0])


@torch.no_grad()
def test_bands_above_the_input_are_a_learned_constant():
    """At a lower rate, or in a row that is band-limited: the same bands, the same constant."""
    layer = filterbank(bands=12)
    layer.unheard.copy_(100 + torch.arange(12.0))
    top = layer.centre_hz + layer.width_hz
    x = noise(3, 480, 1)

    def unheard(y):
        return (y == layer.unheard).all(dim=1)

    for rate in (8_000, 11_025, 48_000):
        y, _ = layer.at_rate(rate)(x)
        assert torch.equal(unheard(y), (top > rate / 2).expand(3, 12))
    y, _ = layer(x, bandwidth_hz=torch.tensor([4_000.0, 8_000.0, 5_512.5]))
    for row, rate in enumerate((8_000, 16_000, 11_025)):
        assert torch.equal(unheard(y)[row], unheard(layer.at_rate(rate)(x)[0])[row])
    heard = ~unheard(y)
    whole, _ = layer(x)
    for row in range(3):
        assert torch.equal(y[row, :, heard[row]], whole[row, :, heard[row]])
    assert 0 < unheard(y)[0].sum() < 12


@torch.no_grad()
@pytest.mark.parametrize("extreme", [-1e30, -100.0, -20.0, 20.0, 100.0, 1e30])
def test_centres_and_widths_stay_within_bounds_whatever_is_learned(extreme):
    layer = filterbank()
    layer.centre_logit.fill_(extreme)
    layer.width_log.fill_(min(extreme, 20.0))
    assert ((layer.centre_hz > 20) & (layer.centre_hz < 7_800)).all()
    assert (layer.width_hz > 20).all()


@torch.no_grad()
def test_the_gain_forgets_within_a_second_whatever_is_learned():
    layer = filterbank().double()
    layer.gain.log_rate.fill_(-1_000)
    assert (layer.gain.decay() <= math.exp(-1 / (100 * SLOWEST_S)) * (1 + 1e-6)).all()


def test_at_rate_shares_the_weights_and_leaves_the_layer():
    layer = filterbank()
    other = layer.at_rate(8_000)
    assert all(map(operator.is_, layer.parameters(), other.parameters()))
    assert (layer.sample_rate_hz, other.sample_rate_hz) == (16_000, 8_000)


def exactly_silent_or_normal(state):
    numbers = torch.cat([torch.view_as_real(state.h).flatten(), state.energy.flatten()])
    numbers = torch.cat([numbers, state.gain.r.flatten()]).abs()
    return ((numbers == 0) | (numbers >= SMALLEST)).all()


def narrow(rate=8_000):
    """The longest memory that the bounds allow in the modes, and a gain that is soon silent."""
    layer = filterbank(rate)
    with torch.no_grad():
        layer.width_log.fill_(-100.0)
        layer.gain.log_rate.fill_(math.log(100.0))
    return layer


@torch.no_grad()
@pytest.mark.parametrize("size", [20, 77, 1_000])
def test_silence_is_exact_and_never_subnormal_in_chunks(size):
    layer = narrow()
    _, state = layer(noise(1, 800, 1) * 10)
    for _ in range(16_000 // size):
        _, state = layer(torch.zeros(1, size, 1), state)
        assert exactly_silent_or_normal(state)
    assert not any(leaf.any() for leaf in (state.h, state.energy, state.gain.r))


@torch.no_grad()
def test_silence_is_exact_and_never_subnormal_in_steps():
    layer = narrow()
    layer.width_log.fill_(math.log(80.0))  # quieter sooner: a step takes its time
    layer.gain.log_rate.fill_(math.log(1_000.0))
    a, b = layer.discrete()
    layer.discrete = lambda: (a, b)  # once, not at every step
    _, state = layer(noise(1, 800, 1) * 10)
    for _ in range(2_400):
        _, state = layer.step(torch.zeros(1, 1), state)
        assert exactly_silent_or_normal(state)
    assert not any(leaf.any() for leaf in (state.h, state.energy, state.gain.r))


@torch.no_grad()
def test_the_slowest_gain_becomes_exact_silence_too():
    layer = filterbank()
    layer.gain.log_rate.fill_(-1_000.0)
    _, state = layer(noise(1, 800, 1))
    _, state = layer(torch.zeros(1, 60 * 16_000, 1), state)
    assert not any(leaf.any() for leaf in (state.h, state.energy, state.gain.r))


def test_the_gradient_passes_through_silence():
    """A fresh stream is at zero; its state still has the gradient that a loud one has."""
    layer = filterbank().double()
    for run in (layer, lambda x, state: layer.step(x[:, 0], state)):
        found = []
        for loud in (0.0, 1.0):
            start = layer.init_state(1)
            h = (start.h + loud).requires_grad_()
            _, state = run(torch.zeros(1, 1, 1).double(), start._replace(h=h))
            found += torch.autograd.grad(state.h.real.sum(), h)
        torch.testing.assert_close(found[0], found[1])
        assert found[0].all()


@torch.no_grad()
def test_mixed_precision_leaves_it_alone():
    layer, x = filterbank(), noise(2, 410, 1)
    y, state = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_mixed, state_mixed = layer(x)
        stepped, after_mixed = layer.step(x[:, 0], state)
    assert torch.equal(y_mixed, y)
    assert torch.equal(state_mixed.h, state.h)
    assert torch.equal(state_mixed.gain.r, state.gain.r)
    expected, after = layer.step(x[:, 0], state)
    assert torch.equal(stepped, expected)
    assert torch.equal(after_mixed.h, after.h)
