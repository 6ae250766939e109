"""An exported file's metadata, without the file."""

import dataclasses

import numpy as np
import pytest

from sssm.onnx.card import OnnxCard, StateTensor
from sssm.onnx.modes import Modes

CARD = OnnxCard(
    labels=("_silence_", "yes"), thresholds={"yes": 0.5}, detector={"min_frames": 2},
    sample_rate_hz=16_000, hop_samples=160, unit="frame",
    states=(
        StateTensor("h", "h_next", ("batch", 2), "float32", [0.0, 0.25]),
        StateTensor("count", "count_next", (1,), "int64", 0),
    ),
    modes=None, model="0123456789abcdef", licence="none", training_data="none",
    accuracy={"validation": 0.25}, clip_offset=(0.5, -0.5), cost={"parameters": 7},
)  # fmt: skip


def test_a_card_that_was_written_is_read():
    read = OnnxCard.from_metadata(CARD.to_metadata())
    assert read.states[0].start(3).tolist() == [[0, 0.25]] * 3
    assert read.states[1].start(3).tolist() == [0]
    assert [state.start(1).dtype for state in read.states] == [np.float32, np.int64]
    assert read == CARD


def test_modes_that_were_written_are_read():
    modes = Modes(*(np.float32([n, 0.1]) for n in (100, 10, 1)))
    read = OnnxCard.from_metadata(dataclasses.replace(CARD, modes=modes).to_metadata()).modes
    np.testing.assert_array_equal(read, modes)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format_version": "2"}, r"format version 2, this program reads 3"),
        ({"format_version": "4"}, r"format version 4, this program reads 3"),
        ({"labels": "[" * 100_000}, "its metadata is not JSON"),
        ({"b": "1", "a": "1"}, "its metadata is damaged: a is unknown"),
        ({"states": "[{}]"}, "its metadata is damaged: 'shape'"),
        ({"labels": "[]"}, "its metadata is damaged: no labels, no states or no rate"),
        ({"modes": '{"centre_hz":[1],"width_hz":[1]}'}, "its metadata is damaged: 'gain'"),
    ],
)
def test_metadata_that_are_wrong_are_told(changed, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        OnnxCard.from_metadata(CARD.to_metadata() | changed)


def test_the_first_of_what_is_missing_is_told():
    with pytest.raises(ValueError, match=r"^its metadata is damaged: accuracy is missing$"):
        OnnxCard.from_metadata({"format_version": "3", "unit": '"frame"'})
