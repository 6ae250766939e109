import numpy as np
import pytest

from training import augment
from training.augment import Spectrum
from training.corpus import SAMPLE_RATE_HZ

NOTHING = {"room": 0.0, "low_pass": 0.0, "notch": 0.0, "tilt": 0.0}


def tone(frequency_hz: float, seconds: float = 1.0) -> np.ndarray:
    n = np.arange(int(seconds * SAMPLE_RATE_HZ))
    return (0.3 * np.sin(2 * np.pi * frequency_hz * n / SAMPLE_RATE_HZ)).astype(np.float32)


def white(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


def loudest_hz(x: np.ndarray) -> float:
    inner = x[1_600:-1_600]
    spectrum = abs(np.fft.rfft(inner * np.hanning(len(inner)), 1 << 18))
    return float(spectrum.argmax() * SAMPLE_RATE_HZ / (1 << 18))


def band_db(x: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = abs(np.fft.rfft(x)) ** 2
    f = np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE_HZ)
    return 10 * np.log10(power[(f >= low_hz) & (f < high_hz)].sum() + 1e-20)


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.12])
def test_speed_changes_length_and_frequency_by_the_factor(factor):
    y = augment.speed(tone(1_000), factor)
    assert y.dtype == np.float32
    assert len(y) == pytest.approx(SAMPLE_RATE_HZ / factor, abs=2)
    assert loudest_hz(y) == pytest.approx(1_000 * factor, rel=1e-3)


@pytest.mark.parametrize("factor", [0.88, 0.95, 1.0, 1.12])
@pytest.mark.parametrize("frequency_hz", [200, 1_000])
def test_pitch_keeps_length_and_moves_frequency_by_the_factor(factor, frequency_hz):
    y = augment.pitch(tone(frequency_hz), factor)
    assert y.dtype == np.float32
    assert len(y) == SAMPLE_RATE_HZ
    assert loudest_hz(y) == pytest.approx(frequency_hz * factor, rel=0.01)
    assert y[1_600:-1_600].std() == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("factor", [0.88, 1.12])
def test_pitch_keeps_the_tempo(factor):
    x = np.concatenate([white(0.25), np.zeros(4_000, np.float32), white(0.25), np.zeros(4_000)])
    energy = augment.pitch(x.astype(np.float32), factor).reshape(-1, 400)
    loud = (energy**2).mean(axis=1) > 1e-3
    starts = np.flatnonzero(np.diff(loud.astype(int), prepend=0) == 1) * 400
    np.testing.assert_allclose(starts, [0, 8_000], atol=800)


def test_speed_and_pitch_change_as_often_as_asked_for_both_ways():
    x, rng = white(0.1), np.random.default_rng(0)
    changed = [
        augment.speed_or_pitch(x, rng, speed_share=0.4, pitch_share=0.2, most=0.1)
        for _ in range(400)
    ]
    lengths = np.array([len(y) for y in changed]) / len(x)
    same = sum(np.array_equal(x, y) for y in changed)
    assert (lengths != 1).mean() == pytest.approx(0.4, abs=0.06)
    assert same / 400 == pytest.approx(0.4, abs=0.06)
    assert 1 / 1.1 - 0.01 < lengths.min() < 0.95
    assert 1.05 < lengths.max() < 1 / 0.9 + 0.01


def test_pitch_of_next_to_nothing():
    for length in (1, 3, 100, 401):
        assert augment.pitch(np.ones(length, np.float32), 1.1).shape == (length,)


@pytest.mark.parametrize(
    ("length", "shift", "expected"),
    [
        (3, 0, [1, 2, 3]),
        (5, 0, [0, 1, 2, 3, 0]),
        (5, 1, [0, 0, 1, 2, 3]),
        (5, 3, [0, 0, 0, 0, 1]),
        (5, 9, [0, 0, 0, 0, 0]),
        (5, -9, [0, 0, 0, 0, 0]),
        (3, 4, [0, 0, 0]),
        (3, -4, [0, 0, 0]),
        (1, 0, [2]),
        (1, -1, [3]),
    ],
)
def test_place_moves_and_cuts(length, shift, expected):
    x = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(augment.place(x, length, shift), expected)


def test_fade_begins_and_ends_with_nothing_and_leaves_the_middle():
    x = np.ones(100, np.float32)
    y = augment.fade(x, 10)
    assert y[0] == y[-1] == 0
    assert (np.diff(y[:10]) > 0).all()
    np.testing.assert_array_equal(y[10:-10], 1)
    np.testing.assert_array_equal(y, y[::-1])
    np.testing.assert_array_equal(x, 1)
    assert augment.fade(x[:1], 10).shape == (1,)
    assert augment.fade(x[:0], 10).shape == (0,)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_noise_has_the_ratio_asked_for(snr_db):
    x, noise = tone(440), white()
    added = augment.add_noise(x, noise, snr_db) - x
    assert 10 * np.log10(np.mean(x**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.01)


def test_noise_leaves_silence_alone_and_silent_noise_changes_nothing():
    zeros = np.zeros(100, np.float32)
    assert not augment.add_noise(zeros, white()[:100], 0.0).any()
    np.testing.assert_array_equal(augment.add_noise(white()[:100], zeros, 0.0), white()[:100])


def test_a_low_pass_removes_what_is_above_4_khz_and_says_so():
    system = augment.random_system(np.random.default_rng(0), **NOTHING | {"low_pass": 1.0})
    x = white()
    y = augment.through(x, system)
    assert system.bandwidth_hz == 4_000
    assert band_db(y, 4_200, 8_000) < band_db(x, 4_200, 8_000) - 15
    assert band_db(y, 4_600, 8_000) < band_db(x, 4_600, 8_000) - 40
    assert band_db(y, 100, 3_200) == pytest.approx(band_db(x, 100, 3_200), abs=0.2)


def test_a_notch_removes_one_band():
    for seed in range(5):
        system = augment.random_system(np.random.default_rng(seed), **NOTHING | {"notch": 1.0})
        gone = np.flatnonzero(abs(system.gain) == 0)
        width_hz = len(gone) * SAMPLE_RATE_HZ / augment.FFT_SIZE
        assert 199 <= width_hz <= 1_201
        assert (np.diff(gone) == 1).all()
        np.testing.assert_array_equal(np.delete(abs(system.gain), gone), 1)
        assert system.bandwidth_hz == SAMPLE_RATE_HZ


def test_a_band_is_missing_from_a_long_recording_too():
    for seed in range(5):
        system = augment.random_system(np.random.default_rng(seed), **NOTHING | {"notch": 1.0})
        gone = np.flatnonzero(abs(system.gain) == 0) * SAMPLE_RATE_HZ / augment.FFT_SIZE
        y = augment.through(np.tile(white(), 4), system)
        power = np.square(abs(np.fft.rfft(y)))
        hz = np.fft.rfftfreq(len(y), 1 / SAMPLE_RATE_HZ)
        inside = (hz > gone[0] + 20) & (hz < gone[-1] - 20)
        assert power[inside].mean() < 1e-4 * power[~inside].mean()


def test_a_tilt_turns_about_1_khz():
    system = augment.random_system(np.random.default_rng(0), **NOTHING | {"tilt": 1.0})
    at = [round(f * augment.FFT_SIZE / SAMPLE_RATE_HZ) for f in (500, 1_000, 2_000, 4_000)]
    gain_db = 20 * np.log10(abs(system.gain[at]))
    assert gain_db[1] == pytest.approx(0, abs=0.01)
    slope = gain_db[2]
    assert 0 < abs(slope) <= 3
    np.testing.assert_allclose(gain_db, [-slope, 0, slope, 2 * slope], atol=0.02)


def test_a_tilt_goes_either_way():
    gain_at_4_khz = [
        augment.random_system(np.random.default_rng(seed), **NOTHING | {"tilt": 1.0}).gain[5_120]
        for seed in range(10)
    ]
    assert min(gain_at_4_khz) < 0.9
    assert max(gain_at_4_khz) > 1.1


def test_a_room_answers_at_once_and_decays():
    for seed in range(5):
        response = augment.room_response(np.random.default_rng(seed))
        assert response[0] == 1
        assert np.sum(response[1:] ** 2) <= 1.001  # no louder than the direct path
        energy = np.square(response[160:].reshape(-1, 240)).mean(axis=1)
        half = len(energy) // 2
        assert energy[half:].mean() < 0.5 * energy[:half].mean()


def test_a_room_decays_by_60_db_in_its_time_after_a_pause():
    for seed in range(5):
        reverberation_s = np.random.default_rng(seed).uniform(0.1, 0.5)  # the first that is drawn
        response = augment.room_response(np.random.default_rng(seed))
        assert not response[1:16].any()  # a millisecond
        tail = response[160 : int(min(reverberation_s, 0.25) * SAMPLE_RATE_HZ)]
        at = np.arange(160, 160 + len(tail)) / SAMPLE_RATE_HZ
        slope, _ = np.polyfit(at, 20 * np.log10(abs(tail)), 1)
        assert slope * reverberation_s == pytest.approx(-60, rel=0.1)


def test_without_any_effect_the_system_changes_nothing():
    system = augment.random_system(np.random.default_rng(0), **NOTHING)
    np.testing.assert_allclose(augment.through(white(), system), white(), atol=1e-6)


@pytest.mark.parametrize("effect", ["room", "low_pass", "notch", "tilt"])
def test_a_system_does_the_same_to_a_long_recording(effect):
    system = augment.random_system(np.random.default_rng(3), **NOTHING | {effect: 1.0})
    x = white(1.0)
    whole = augment.through(np.concatenate([x, np.zeros(2 * len(x), np.float32)]), system)
    assert whole.shape == (3 * len(x),)
    error = whole[: len(x)] - augment.through(x, system)
    assert np.sqrt(np.mean(error**2)) < 0.01 * x.std()


@pytest.mark.parametrize("seconds", [0.01, 1.0, 1.5])
def test_a_recording_keeps_its_length(seconds):
    system = Spectrum(np.ones(augment.FFT_SIZE // 2 + 1, np.complex64), SAMPLE_RATE_HZ)
    np.testing.assert_allclose(augment.through(white(seconds), system), white(seconds), atol=1e-6)


def test_a_short_recording_keeps_its_length():
    system = Spectrum(np.ones(augment.FFT_SIZE // 2 + 1, np.complex64), SAMPLE_RATE_HZ)
    assert augment.through(white()[:100], system).shape == (100,)


def test_a_mask_silences_one_stretch():
    x = np.ones(SAMPLE_RATE_HZ, np.float32)
    lengths = []
    for seed in range(50):
        y = augment.mask_time(x, np.random.default_rng(seed), longest_s=0.1)
        silent = np.flatnonzero(y == 0)
        assert (np.diff(silent) == 1).all()
        lengths.append(len(silent))
    assert max(lengths) <= 1_600
    assert max(lengths) > 1_200
    assert x.all()


def test_a_mask_may_lie_anywhere():
    x, starts = np.ones(SAMPLE_RATE_HZ, np.float32), []
    for seed in range(50):
        y = augment.mask_time(x, np.random.default_rng(seed), longest_s=0.1)
        starts += np.flatnonzero(y == 0)[:1].tolist()
    assert min(starts) < 0.1 * SAMPLE_RATE_HZ
    assert max(starts) > 0.8 * SAMPLE_RATE_HZ


def test_gain_is_in_decibels_and_clips_at_full_scale():
    x = tone(440)
    np.testing.assert_allclose(augment.gain(x, -20.0), x / 10, rtol=1e-5)
    y = augment.gain(x, 20.0)
    assert (y.min(), y.max()) == (-1, 1)


def test_the_same_generator_gives_the_same():
    effects = {"room": 0.5, "low_pass": 0.5, "notch": 0.5, "tilt": 0.5}
    for seed in range(5):
        first, second = (
            augment.random_system(np.random.default_rng(seed), **effects) for _ in range(2)
        )
        np.testing.assert_array_equal(first.gain, second.gain)
        masked = [
            augment.mask_time(white(), np.random.default_rng(seed), longest_s=0.1) for _ in range(2)
        ]
        np.testing.assert_array_equal(*masked)
