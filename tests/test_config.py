import math

import pytest

from sssm.config import ModelConfig


def test_a_config_survives_being_written():
    config = ModelConfig(labels=("yes", "no"), channels=8)
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_unknown_settings_are_named():
    with pytest.raises(ValueError, match=r"unknown settings \['chanels'\]"):
        ModelConfig.from_dict({"labels": ["yes"], "chanels": 3})


def test_labels_are_needed():
    with pytest.raises(ValueError, match="labels are missing"):
        ModelConfig.from_dict({})


@pytest.mark.parametrize("labels", [(), ("yes", "yes"), ("yes", ""), ("y\0s",), (3,)])
def test_labels_are_distinct_words(labels):
    with pytest.raises(ValueError, match="labels"):
        ModelConfig(labels=labels)


@pytest.mark.parametrize("name", ["sample_rate_hz", "bands", "channels", "state_size", "depth"])
@pytest.mark.parametrize("value", [0, 10**9, 2.0, True])
def test_sizes_are_whole_and_bounded(name, value):
    with pytest.raises(ValueError, match=name):
        ModelConfig(labels=("yes",), **{name: value})


def test_mamba_counts_in_frames():
    assert ModelConfig(labels=("yes",), layer="mamba").layer == "mamba"
    with pytest.raises(ValueError, match="layer mamba needs front filterbank"):
        ModelConfig(labels=("yes",), layer="mamba", front="samples")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("front", "mel"), ("layer", "lstm"), ("layer", "s4"), ("dropout", 1.0),
        ("slowest_s", 0.0), ("slowest_s", math.inf), ("slowest_s", 1),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        ModelConfig(labels=("yes",), **{setting: value})


def test_labels_given_as_a_list_are_those_of_the_file():
    config = ModelConfig(labels=["yes", "no"])
    assert ModelConfig.from_dict(config.to_dict()) == config
