"""Sounds from equations: loud, finite, each another one, like themselves when they are repeated."""

import numpy as np
import pytest
import scipy.signal

from training import made_sounds
from training.corpus import SAMPLE_RATE_HZ
from training.made_sounds import made_sound


def sounds(count: int) -> list[np.ndarray]:
    return [made_sound(np.random.default_rng([3, n])) for n in range(count)]


def test_made_sounds_are_audio():
    """Of any length that a call or a series of them can have, and never clipped."""
    drawn = sounds(100)
    for x in drawn:
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert 0.05 < np.abs(x).max() <= 1
    seconds = [len(x) / SAMPLE_RATE_HZ for x in drawn]
    assert min(seconds) < 0.7
    assert 3 < max(seconds) < 8  # a series, the last call's howl, and a room


def test_a_draw_is_a_function_of_its_generator():
    one, again, other = (made_sound(np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert len(one) != len(other) or not np.array_equal(one, other)


@pytest.mark.parametrize("make", [made_sounds._animal, made_sounds._struck, made_sounds._beeping])
def test_a_source_repeats_itself(make):
    """Two calls of one source are nearer in spectrum than calls of two."""

    def spectrum(x: np.ndarray) -> np.ndarray:
        power = scipy.signal.welch(x, SAMPLE_RATE_HZ, nperseg=min(256, len(x)), nfft=256)[1]
        return np.log10(power / power.sum() + 1e-5)

    sources = [make(np.random.default_rng([7, n])) for n in range(30)]
    first, second = ([spectrum(source()) for source in sources] for _ in range(2))
    own = [np.abs(a - b).mean() for a, b in zip(first, second, strict=True)]
    others = [np.abs(a - b).mean() for a, b in zip(first, second[1:] + second[:1], strict=True)]
    assert np.mean(own) < 0.6 * np.mean(others)


@pytest.mark.parametrize("hz", [200.0, 800.0, 3_000.0])
def test_resonances_let_their_own_frequency_through(hz):
    noise = np.random.default_rng(0).standard_normal(40_000)
    heard = made_sounds._through(noise, [(hz, 80.0, 1.0)])
    frequencies, power = scipy.signal.welch(heard, SAMPLE_RATE_HZ, nperseg=1_024)
    assert abs(frequencies[power.argmax()] - hz) < 40
