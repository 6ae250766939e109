"""Where a word begins and ends in its recording."""

import numpy as np
import pytest

from training.word_end import FRAME, word_span


def tone(length: int) -> np.ndarray:
    return np.sin(0.3 * np.arange(length)).astype(np.float32)


def test_a_word_is_where_it_is_loud():
    x = np.zeros(16_000, np.float32)
    x[3_200:8_000] = tone(4_800)
    assert abs(word_span(x)[0] - 3_200) <= FRAME
    assert abs(word_span(x)[1] - 8_000) <= FRAME


@pytest.mark.parametrize(("below_db", "counts"), [(19.0, True), (21.0, False)])
def test_what_is_within_20_db_of_the_loudest_counts(below_db, counts):
    x = tone(16_000)
    x[8_000:] *= 10 ** (-below_db / 20)
    assert (word_span(x)[1] == 16_000) == counts
    if not counts:
        assert abs(word_span(x)[1] - 8_000) <= FRAME


def test_one_click_is_smoothed_over_30_ms():
    x = np.zeros(16_000, np.float32)
    x[8_000:8_160] = tone(160)
    assert np.diff(word_span(x)) == 3 * FRAME


def test_a_recording_in_whole_numbers_has_its_word_where_it_is():
    x = np.zeros(16_000, np.int16)
    x[3_200:8_000] = 256  # its square is 0 in 16 bits
    assert word_span(x) == word_span(x.astype(np.float32)) == (3_040, 8_160)


@pytest.mark.parametrize("length", [0, 1, 159, 161, 400])
def test_silence_and_short_recordings(length):
    assert word_span(np.zeros(length, np.float32))[1] == length
    assert word_span(tone(length) + np.float32(0.1))[1] == length
    assert word_span(tone(length) + np.float32(0.1))[0] == 0
