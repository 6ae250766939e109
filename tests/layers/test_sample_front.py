import itertools

import pytest
import torch
from streaming import check_streaming

from sssm.layers.s4 import S4
from sssm.layers.s4d import S4D
from sssm.layers.sample_front import SampleFront


def front(make_ssm, rate=1_600):
    torch.manual_seed(0)
    made = SampleFront(make_ssm, depth=2, channels=4, dropout=0.0, sample_rate_hz=rate)
    return made.double().eval()


def s4():
    return S4(channels=4, state_size=4, sample_rate_hz=1_600)


def s4d():
    return S4D(channels=4, state_size=3, sample_rate_hz=1_600, dt_min=1e-3, dt_max=1e-1)


@pytest.mark.parametrize("make_ssm", [s4, s4d], ids=["s4", "s4d"])
def test_the_front_keeps_the_streaming_contract(make_ssm):
    check_streaming(front(make_ssm), torch.randn(2, 70, 1, dtype=torch.float64))


def test_a_frame_is_the_mean_of_its_samples_at_any_rate():
    layer = front(s4d).at_rate(1_650)  # 16.5 samples a frame
    x = torch.randn(1, 100, 1, dtype=torch.float64)
    y = layer.lift(x)
    for block in layer.blocks:
        y, _ = block(y)
    frames, _ = layer(x)
    ends = [0, 16, 33, 49, 66, 82, 99]
    expected = [y[:, a:b].mean(dim=1) for a, b in itertools.pairwise(ends)]
    torch.testing.assert_close(frames, torch.stack(expected, dim=1))


def test_another_rate_shares_the_weights_and_keeps_the_original():
    layer = front(s4)
    faster = layer.at_rate(3_200)
    assert faster.blocks[0].mix.weight is layer.blocks[0].mix.weight
    assert layer.sample_rate_hz == 1_600
    assert layer.blocks[0].ssm.sample_rate_hz == 1_600
    assert faster.blocks[0].ssm.sample_rate_hz == 3_200
