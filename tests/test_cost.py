from dataclasses import replace

import pytest

from sssm.config import ModelConfig
from sssm.cost import cost, macs_per_s, parameters, state_bytes
from sssm.model import KeywordModel

CONFIG = ModelConfig(labels=("a", "b", "c"), bands=5, channels=7, state_size=2, depth=2)


def test_parameters_are_those_of_the_layers():
    K, H, N, classes = 5, 7, 2, 3
    front = 7 * K  # centre, width, gain's time and share, scale, shift, unheard
    block = H * (2 * N + 2 * N + 2) + 2 * H * H + 2 * H  # poles, C, D, dt; the mix
    expected = front + K * H + H + 2 * block + H + (H + 1) * classes + classes
    assert parameters(KeywordModel(CONFIG)) == expected


def test_state_bytes_are_those_of_one_stream():
    K, H, N, classes, depth = 5, 7, 2, 3, 2
    numbers = 4 * K + 2 * K + depth * 2 * H * N + H + 2 * classes
    model = KeywordModel(CONFIG)
    assert state_bytes(model) == 4 * numbers + 2 * 8  # and two counters
    assert state_bytes(model) == state_bytes(model.at_rate(8_000))


def test_macs_are_those_of_the_recurrence():
    K, H, N, classes, depth = 5, 7, 2, 3, 2
    at_16_khz = K * (4 + 1 + 4 + 2)
    at_400_hz = K * 2
    block = H * 2 + H * (N * (4 + 2 + 2) + 1) + H + H * 2 * H + H
    at_100_hz = K * 4 + K * H + depth * block + H * 4 + H * classes
    expected = 16_000 * at_16_khz + 400 * at_400_hz + 100 * at_100_hz
    assert macs_per_s(KeywordModel(CONFIG)) == expected == 943_400


def test_a_cost_has_each_figure_under_its_name():
    model = KeywordModel(CONFIG)
    assert cost(model)._asdict() == {
        "parameters": parameters(model),
        "state_bytes": state_bytes(model),
        "macs_per_s": macs_per_s(model),
    }


def test_parameters_state_and_macs_of_mamba():
    K, H, N, classes, depth, D, rank = 5, 17, 3, 3, 2, 34, 2
    config = ModelConfig(
        labels=("a", "b", "c"), layer="mamba", bands=K, channels=H, state_size=N, depth=depth
    )
    model = KeywordModel(config)
    matrices = 2 * D * H + D * (rank + 2 * N) + rank * D + H * D
    block = matrices + 4 * D + D + D + D * N + D  # convolution and bias, bias of dt, A, D
    assert parameters(model) == 7 * K + K * H + H + depth * block + H + (H + 1) * classes + classes
    numbers = 4 * K + 2 * K + depth * D * (3 + N) + H + 2 * classes
    assert state_bytes(model) == 4 * numbers + 2 * 8
    convolution, selected, scan = 4 + 1, 2 + D * N * 4 // D, 2
    frame = depth * (2 * H + matrices + D * (convolution + selected + scan))
    at_100_hz = 4 * K + K * H + frame + 4 * H + H * classes
    assert macs_per_s(model) == 16_000 * 11 * K + 400 * 2 * K + 100 * at_100_hz


@pytest.mark.parametrize(("layer", "mode"), [("s4d", 4 + 2 + 2), ("s4", 4 + 2 + 2 + 2 + 2)])
def test_macs_of_blocks_at_the_rate_of_the_samples(layer, mode):
    H, N, classes, depth = 7, 2, 3, 2
    block = H * 2 + H * (N * mode + 1) + H + H * 2 * H + H
    expected = 16_000 * (H + depth * block) + 100 * (H * 4 + H * classes)
    assert macs_per_s(KeywordModel(replace(CONFIG, front="samples", layer=layer))) == expected
