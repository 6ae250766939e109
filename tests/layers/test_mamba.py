import math

import numpy as np
import pytest
import torch
from silence import check_silence
from streaming import check_steps, check_streaming

from sssm.layers.mamba import Mamba, MambaBlock

SLOWEST = 24  # elements


def mamba(channels=3, state_size=4, slowest=SLOWEST, **sizes):
    torch.manual_seed(0)
    return Mamba(channels=channels, state_size=state_size, slowest=slowest, **sizes)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [2, 3, 21])
def test_the_streaming_contract(length):
    check_streaming(mamba(), noise(2, length, 3))


def test_the_streaming_contract_of_other_sizes():
    check_streaming(mamba(channels=17, expand=1, state_size=1), noise(2, 9, 17))


def test_the_streaming_contract_of_the_block():
    check_streaming(MambaBlock(mamba(), dropout=0.3), noise(2, 21, 3))


@torch.no_grad()
def test_step_equals_forward_over_16000_elements_in_float32():
    layer = mamba(slowest=10_000)
    layer.log_decay -= 6  # states that hardly decay: a drift would show
    check_steps(layer, noise(1, 16_000, 3))


@pytest.mark.parametrize("slowest", [math.inf, 28.0])
def test_it_is_the_paper_written_out_in_numpy(slowest):
    """Figure 3 and algorithm 2, one number after the other; without a bound, to the letter."""
    layer = mamba(slowest=slowest).double()
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    L, D, N, R = 12, 6, 4, 1
    u = noise(L, 3).double().numpy()
    expected = np.zeros((L, 3))

    # Figure 3: two projections, a causal convolution, an activation.
    xz = u @ p["enter.weight"].T  # (L, 2 D)
    before, z = xz[:, :D], xz[:, D:]
    x = np.zeros((L, D))
    for t in range(L):
        for d in range(D):
            total = p["conv.bias"][d]
            for w in range(4):
                if t - 3 + w >= 0:
                    total += p["conv.weight"][d, 0, w] * before[t - 3 + w, d]
            x[t, d] = total / (1 + np.exp(-total))
    # Algorithm 2, lines 1 to 4: A, and B, C, Delta by the input.
    A = -np.exp(p["log_decay"])  # (D, N)
    selected = x @ p["select.weight"].T
    low, B, C = selected[:, :R], selected[:, R : R + N], selected[:, R + N :]
    dt = np.log1p(np.exp(low @ p["step_size.weight"].T + p["step_size.bias"]))  # (L, D)
    # Lines 5 and 6: discretize, and scan; the bound is one more decay.
    h, y = np.zeros((D, N)), np.zeros((L, D))
    for t in range(L):
        for d in range(D):
            for n in range(N):
                dA, dB = np.exp(dt[t, d] * A[d, n]) * np.exp(-1 / slowest), dt[t, d] * B[t, n]
                h[d, n] = dA * h[d, n] + dB * x[t, d]
                y[t, d] += C[t, n] * h[d, n]
            y[t, d] += p["D"][d] * x[t, d]
            y[t, d] *= z[t, d] / (1 + np.exp(-z[t, d]))
        expected[t] = p["leave.weight"] @ y[t]

    found, state = layer(torch.from_numpy(u)[None])
    np.testing.assert_allclose(found[0].detach(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.h[0].detach(), h, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.tail[0].detach(), before[-3:], rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_steps_start_in_their_range_and_states_at_the_whole_numbers():
    layer = mamba(channels=64, dt_min=0.01, dt_max=0.2)
    dt = torch.nn.functional.softplus(layer.step_size.bias)
    assert 0.01 <= dt.min() * (1 + 1e-4) < 0.012
    assert 0.15 < dt.max() <= 0.2 * (1 + 1e-4)
    torch.testing.assert_close(layer._decay()[5], torch.tensor([-1.0, -2.0, -3.0, -4.0]))


@torch.no_grad()
@pytest.mark.parametrize("bias", [-1e4, -20.0, 0.0, 1e4])
@pytest.mark.parametrize("log_decay", [-1e3, 0.0, 20.0])
def test_no_state_outlasts_the_bound_whatever_is_learned(bias, log_decay):
    layer = mamba().double()
    layer.conv.bias.zero_()  # a bias is heard in silence too
    state = layer(noise(2, 21, 3).double())[1]
    assert state.h.abs().min() > 0
    layer.step_size.bias.fill_(bias)
    layer.log_decay.fill_(log_decay)
    silence = torch.zeros(2, SLOWEST, 3).double()
    after = layer(silence, state._replace(tail=torch.zeros_like(state.tail)))[1]
    assert (after.h.abs() <= state.h.abs() * math.exp(-1) * (1 + 1e-12)).all()
    assert after.h.isfinite().all()
    if bias == -1e4:  # no step at all: nothing comes in, and the bound alone decays
        torch.testing.assert_close(after.h, state.h * math.exp(-1))


def test_the_slowest_states_settle_too():
    layer = Mamba(channels=2, state_size=2, dt_min=1e-8, dt_max=2e-8)
    y, state = layer.settle(torch.ones(1, 2))
    after, next_state = layer.step(torch.ones(1, 2), state)
    assert torch.isfinite(state.h).all()
    torch.testing.assert_close(after, y)
    torch.testing.assert_close(next_state.h, state.h)


def test_every_parameter_learns():
    layer = mamba()
    y, state = layer(noise(2, 9, 3))
    (y.square().sum() + state.h.square().sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@torch.no_grad()
def test_silence_decays_to_exact_zero_in_both_forms():
    layer = mamba()
    layer.conv.bias.zero_()  # a bias is heard in silence too
    check_silence(layer, layer(noise(1, 100, 3))[1], 1_500)


@torch.no_grad()
def test_mixed_precision_leaves_the_scan_and_the_states_exact():
    layer, x = mamba(), noise(2, 9, 3)
    y, _ = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_mixed, mixed = layer(x)
        y_step, stepped = layer.step(x[:, 0], mixed)
    assert {t.dtype for t in (y_mixed, y_step, *mixed, *stepped)} == {torch.float32}
    torch.testing.assert_close(y_mixed, y, rtol=0.05, atol=0.05)
    assert not torch.equal(y_mixed, y)  # it was mixed


@torch.no_grad()
def test_it_compiles_without_a_break():
    layer, x = mamba(), noise(1, 10, 3)
    y, state = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    expected, last = layer(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(tuple(state), tuple(last))


@torch.no_grad()
def test_the_block_adds_what_mamba_makes_of_the_normalized_input():
    block, x = MambaBlock(mamba(), dropout=0.3).eval(), noise(2, 9, 3)
    normal = x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(block(x)[0], x + block.mamba(normal)[0])


@torch.no_grad()
def test_dropout_drops_a_channel_for_the_whole_sequence_and_only_in_training():
    block, x = MambaBlock(mamba(), dropout=0.5), noise(50, 9, 3)
    dropped = block(x)[0] == x
    assert torch.equal(dropped.any(dim=1), dropped.all(dim=1))
    assert 0.3 < dropped[:, 0].float().mean() < 0.7
    assert not (block.eval()(x)[0] == x).any()
