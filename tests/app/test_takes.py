"""Takes of words, and pieces of what holds none, out of a stream."""

import math

import numpy as np
import pytest
from spoken import RATE_HZ, noise, sound, word

from app.takes import CONTEXT_S, NOISE_S, PieceCutter, WordFinder


def takes_of(x: np.ndarray, piece: int = 160, **options) -> list:
    finder = WordFinder(RATE_HZ, **options)
    found = [finder.hear(x[at : at + piece]) for at in range(0, len(x), piece)]
    return [take for takes in [*found, finder.finish()] for take in takes]


@pytest.mark.parametrize("piece", [1, 7, 160, 1_600, 10**6])
def test_a_word_is_trimmed_in_whatever_pieces_it_comes(piece):
    parts = [noise(0.7), word(0.4), noise(1.0)]
    x = np.concatenate(parts)
    (take,) = takes_of(x, piece)
    assert take.fault == ""
    assert take.word_s == pytest.approx(0.4, abs=0.05)
    assert take.peak_db == pytest.approx(20 * math.log10(0.3), abs=0.5)
    start = x.tobytes().find(take.samples.tobytes()) // 4
    assert start == pytest.approx((0.7 - CONTEXT_S) * RATE_HZ, abs=0.04 * RATE_HZ)
    assert start + len(take.samples) == pytest.approx((1.1 + CONTEXT_S) * RATE_HZ, abs=700)


def test_a_pause_as_in_stop_does_not_end_a_word():
    (take,) = takes_of(sound(np.concatenate([word(0.15), noise(0.15), word(0.2)])))
    assert take.word_s == pytest.approx(0.5, abs=0.05)


def test_a_word_at_the_very_start_is_a_take():
    (take,) = takes_of(np.concatenate([noise(0.1), word(), noise(0.8)]))
    assert len(take.samples) == pytest.approx((0.5 + CONTEXT_S) * RATE_HZ, abs=700)


def test_a_soft_beginning_belongs_to_a_word():
    soft = noise(0.2, 3e-4 * 10 ** (11.5 / 20))
    (take,) = takes_of(np.concatenate([noise(0.8), soft, word(), noise(0.8)]))
    assert take.word_s == pytest.approx(0.6, abs=0.06)
    assert len(take.samples) == pytest.approx((0.6 + 2 * CONTEXT_S) * RATE_HZ, abs=1_000)


def test_what_a_hall_adds_does_not():
    """Far above the noise, and far below the word."""
    hall = 0.9 * 10 ** (-42 / 20) * np.sin(0.3 * np.arange(1.5 * RATE_HZ, dtype=np.float32))
    x = np.concatenate([noise(0.8, 1e-5), word(level=0.9), hall, noise(0.8, 1e-5)])
    assert takes_of(x)[0].word_s == pytest.approx(0.4, abs=0.06)


def test_each_of_two_near_words_has_what_is_around_it():
    takes = takes_of(np.concatenate([noise(0.8), word(), noise(0.47), word(), noise(0.8)]))
    assert [round(len(take.samples) / RATE_HZ, 1) for take in takes] == [0.9, 0.9]


def test_a_click_and_a_breath_are_no_words():
    assert takes_of(np.concatenate([noise(0.8, 1e-3), noise(0.01, 0.0085), noise(1, 1e-3)])) == []
    silence = np.zeros(RATE_HZ, np.float32)
    assert takes_of(np.concatenate([silence, word(level=0.0035), silence])) == []


@pytest.mark.parametrize(("samples", "fault"), [(2, ""), (3, "clipped")])
def test_two_samples_may_clip(samples, fault):
    x = word(level=0.5)
    x[2_000 : 2_000 + samples] = 1.0
    assert takes_of(sound(x))[0].fault.split(":")[0] == fault


def test_a_word_at_the_very_end_is_a_take():
    (take,) = takes_of(np.concatenate([noise(0.8), word()]))
    assert take.fault == ""


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (word(0.04), "only a click"),
        (word(level=0.009), "too quiet (-41 dB)"),
        (np.clip(word(level=3.0), -1, 1), "clipped"),
        (word(4.0), "it went on for 2.5 s"),
    ],
)
def test_what_is_wrong_with_a_take_is_said(part, said):
    takes = takes_of(sound(part))
    assert said in takes[0].fault


def test_steady_noise_becomes_the_noise():
    x = np.concatenate([noise(0.5), noise(8.0, 0.05), word(level=0.9), noise(1.0, 0.05)])
    faults = [take.fault for take in takes_of(x)]
    assert faults[-1] == ""
    assert len(faults) <= 3
    soft = [noise(0.5), noise(8.0, 1.2e-3), word(level=0.05), noise(1.0, 1.2e-3)]
    (take,) = takes_of(np.concatenate(soft))
    assert take.word_s == pytest.approx(0.4, abs=0.05)


def test_memory_does_not_grow_while_nothing_is_said():
    finder = WordFinder(RATE_HZ)
    finder.hear(noise(10.0))
    assert len(finder._frames) <= 100


def test_nothing_heard_is_said_after_a_while():
    (take,) = takes_of(noise(1.5), patience_s=1.0)
    assert take.fault == "nothing heard"
    (take,) = takes_of(np.zeros(RATE_HZ * 3 // 2, np.float32), patience_s=1.0)
    assert take.fault == "only zeros: is the microphone muted?"
    muted = np.concatenate([noise(1.2), np.zeros(round(2.3 * RATE_HZ), np.float32)])
    assert [take.fault[:4] for take in takes_of(muted, patience_s=1.0)] == ["noth", "noth", "only"]
    (take,) = takes_of(np.concatenate([noise(0.8), word(), noise(1.1)]), patience_s=1.0)
    assert take.fault == ""


def test_noise_is_measured_before_a_word_is_waited_for():
    finder = WordFinder(RATE_HZ, noise_s=NOISE_S)
    assert finder.hear(np.concatenate([noise(0.3), word(0.2), noise(0.4)])) == []
    assert not finder.is_ready
    finder.hear(noise(0.2))
    assert finder.is_ready


def test_sound_without_a_word_is_cut_into_takes_of_one_length():
    cutter = PieceCutter(RATE_HZ, take_s=2.0, shortest_s=1.0)
    x = noise(5.5)
    takes = [take for at in range(0, len(x), 999) for take in cutter.hear(x[at : at + 999])]
    takes += cutter.finish()
    assert [len(take.samples) for take in takes] == [32_000, 32_000, 24_000]
    np.testing.assert_array_equal(np.concatenate([take.samples for take in takes]), x)
    cutter.hear(x[: RATE_HZ - 1])
    assert cutter.finish() == []


@pytest.mark.parametrize(
    ("level", "said"), [(0.0, "only zeros"), (0.009, "too quiet (-41 dB)"), (1.0, "clipped")]
)
def test_what_is_wrong_with_a_piece_is_said(level, said):
    cutter = PieceCutter(RATE_HZ, take_s=1.0, shortest_s=1.0, quiet_db=-35.0)
    (take,) = cutter.hear(np.full(RATE_HZ, level, np.float32))
    assert said in take.fault


def test_talk_may_touch_full_scale():
    cutter = PieceCutter(RATE_HZ, take_s=1.0, shortest_s=1.0, quiet_db=-35.0)
    x = noise(1.0, 0.1)
    x[::200] = 1.0
    (take,) = cutter.hear(x)
    assert take.fault == ""
