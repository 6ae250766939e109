import numpy as np
import pytest
import torch
from streaming import check_streaming

from sssm.layers.block import Block, normalize
from sssm.layers.leaky import LeakyMean
from sssm.layers.s4d import S4D


def block(dropout=0.3):
    torch.manual_seed(0)
    ssm = S4D(channels=3, state_size=2, sample_rate_hz=100, dt_min=0.02, dt_max=0.4, slowest_s=1.0)
    return Block(ssm, channels=3, dropout=dropout)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [2, 21])
def test_the_streaming_contract(length):
    check_streaming(block(), noise(2, length, 3))


def test_it_takes_any_streaming_layer():
    ssm = LeakyMean(channels=3, sample_rate_hz=100, start_s=0.1)
    check_streaming(Block(ssm, channels=3, dropout=0.0), noise(2, 9, 3))


@torch.no_grad()
def test_it_is_the_formula_written_out_in_numpy():
    layer, x = block().double().eval(), noise(2, 9, 3).double()
    rms = np.sqrt(np.mean(x.numpy() ** 2, axis=-1, keepdims=True) + 1e-5)
    y = layer.ssm(torch.from_numpy(x.numpy() / rms))[0].numpy()
    y = y / (1 + np.exp(-y))  # silu
    y = y @ layer.mix.weight.numpy().T + layer.mix.bias.numpy()
    y = y[..., :3] / (1 + np.exp(-y[..., 3:]))  # glu
    np.testing.assert_allclose(layer(x)[0], x.numpy() + y, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_normalize_divides_by_the_root_of_the_mean_square_and_survives_silence():
    x = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    expected = torch.tensor([[3.0, -4.0], [0.0, 0.0]]) / 12.5**0.5
    torch.testing.assert_close(normalize(x), expected)


@torch.no_grad()
def test_dropout_drops_a_channel_for_the_whole_sequence_and_only_in_training():
    layer, x = block(dropout=0.5), noise(50, 9, 3)
    added = layer(x)[0] - x
    dropped = added == 0
    assert torch.equal(dropped.any(dim=1), dropped.all(dim=1))
    assert 0.3 < dropped[:, 0].float().mean() < 0.7
    kept = layer.eval()(x)[0] - x
    torch.testing.assert_close(added[~dropped], 2 * kept[~dropped], rtol=1e-4, atol=1e-5)
    assert kept.all()
    assert torch.equal(layer(x)[0], layer(x)[0])
