"""What a recording goes through before training sees it: float32 samples in, samples out.

Every function draws from the generator it is given, so that a batch is a function of its number.
"""

from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.signal
import soxr

from sssm.ops.compiled import compiled
from training.corpus import SAMPLE_RATE_HZ

HALF_BAND_HZ = 4_000.0


def speed(x: np.ndarray, factor: float) -> np.ndarray:
    """`x` played `factor` times as fast: tempo, pitch and formants move together."""
    return soxr.resample(x, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="LQ")


def pitch(x: np.ndarray, factor: float) -> np.ndarray:
    """`x` with pitch and formants `factor` times as high and its tempo kept."""
    return _stretch(speed(x, factor), len(x))


def speed_or_pitch(
    x: np.ndarray, rng: np.random.Generator, *, speed_share: float, pitch_share: float, most: float
) -> np.ndarray:
    """`x` with its speed or its pitch changed by at most a share, each with its probability."""
    factor = 1 + rng.uniform(-1, 1) * most
    chance = rng.random()
    if chance < speed_share:
        return speed(x, factor)
    return pitch(x, factor) if chance < speed_share + pitch_share else x


def _stretch(x: np.ndarray, length: int) -> np.ndarray:
    """`x` stretched to `length` samples, its pitch kept, by waveform similarity overlap-add.

    Source: Verhelst and Roelands 1993, ICASSP, section 3.
    """
    out = np.zeros(length + 2 * _GRAIN, np.float32)
    padded = np.pad(x.astype(np.float32), (_GRAIN, 2 * _GRAIN))
    _overlap_add(padded, out, len(x) / length, _WINDOW)
    return out[_GRAIN // 2 : _GRAIN // 2 + length]


_GRAIN = 400  # 25 ms, half overlapped
_WINDOW = np.hanning(_GRAIN + 1)[:-1].astype(np.float32)


@compiled
def _overlap_add(x: np.ndarray, out: np.ndarray, ratio: float, window: np.ndarray) -> None:
    grain, hop, reach = len(window), len(window) // 2, 80
    at = grain // 2
    for start in range(0, len(out) - grain, hop):
        wanted = grain // 2 + int(start * ratio)
        best, best_likeness = wanted, -np.inf
        if start > 0:  # the grain that continues the last one most smoothly
            for candidate in range(max(0, wanted - reach), wanted + reach, 4):
                if candidate + grain > len(x) or at + hop + hop > len(x):
                    break
                likeness = 0.0
                for n in range(0, hop, 2):
                    likeness += x[candidate + n] * x[at + hop + n]
                if likeness > best_likeness:
                    best, best_likeness = candidate, likeness
        at = min(best, len(x) - grain)
        for n in range(grain):
            out[start + n] += window[n] * x[at + n]


def place(x: np.ndarray, length: int, shift: int) -> np.ndarray:
    """`x` in the middle of `length` samples, moved by `shift`; zeros around, cut at the ends."""
    out = np.zeros(length, np.float32)
    start = (length - len(x)) // 2 + shift
    left = min(max(0, start), length)
    right = max(left, min(length, start + len(x)))
    out[left:right] = x[left - start : right - start]
    return out


def fade(x: np.ndarray, samples: int) -> np.ndarray:
    """`x` with both ends faded by half a cosine."""
    n = min(samples, len(x) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(n, 1))).astype(np.float32)
    out = x.copy()
    out[:n] *= ramp
    out[len(out) - n :] *= ramp[::-1]
    return out


class Spectrum(NamedTuple):
    """A linear system: what it does to the spectrum, and how far up it lets sound through."""

    gain: np.ndarray | None  # one a frequency of a transform of `FFT_SIZE`; None lets all through
    bandwidth_hz: float


FFT_SIZE = 20_480  # a second and the longest room response
BEFORE, RESPONSE = 2_048, 8_192
"""Samples of a long sound's response: ahead of its input, where a band limit acts too, and all."""
_FREQUENCIES = scipy.fft.rfftfreq(FFT_SIZE, 1 / SAMPLE_RATE_HZ).astype(np.float32)


def random_system(
    rng: np.random.Generator, *, room: float, low_pass: float, notch: float, tilt: float
) -> Spectrum:
    """A room, a band limit, a missing band and a tilt, each with its probability; one product."""
    gain: np.ndarray | float = 1.0
    bandwidth_hz = float(SAMPLE_RATE_HZ)
    if rng.random() < room:
        gain = scipy.fft.rfft(room_response(rng), FFT_SIZE)
    if rng.random() < tilt:
        slope_db = rng.uniform(-3, 3)  # an octave above or below 1 kHz
        octaves = np.log2(np.maximum(_FREQUENCIES, 50) / 1_000)
        gain = gain * (10 ** (slope_db * octaves / 20)).astype(np.float32)
    if rng.random() < notch:
        width = rng.uniform(200, 1_200)
        low = rng.uniform(100, 6_000)
        gain = gain * (abs(_FREQUENCIES - (low + width / 2)) > width / 2)
    if rng.random() < low_pass:
        edge = rng.uniform(3_400, 3_950)
        gain = gain / np.sqrt(1 + (_FREQUENCIES / edge) ** 80).astype(np.float32)
        bandwidth_hz = HALF_BAND_HZ
    return Spectrum(gain if isinstance(gain, np.ndarray) else None, bandwidth_hz)


def room_response(rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a made-up room: a direct path, then noise that decays by 60 dB."""
    reverberation_s = rng.uniform(0.1, 0.5)
    n = np.arange(int(0.25 * SAMPLE_RATE_HZ))
    tail = rng.standard_normal(len(n)).astype(np.float32)
    tail *= np.exp(-6.9 * n / (reverberation_s * SAMPLE_RATE_HZ)).astype(np.float32)
    tail[: int(rng.uniform(0.001, 0.01) * SAMPLE_RATE_HZ)] = 0
    direct_to_tail_db = rng.uniform(0, 15)
    tail *= 10 ** (-direct_to_tail_db / 20) / np.sqrt(np.sum(tail**2) + 1e-12)
    tail[0] = 1
    return tail


def through(x: np.ndarray, system: Spectrum) -> np.ndarray:
    """`x` after a linear system, cut to its own length."""
    if system.gain is None:
        return x
    if len(x) <= SAMPLE_RATE_HZ:
        y = scipy.fft.irfft(scipy.fft.rfft(x, FFT_SIZE) * system.gain, FFT_SIZE)
        return y[: len(x)].astype(np.float32)
    response = fade(np.roll(scipy.fft.irfft(system.gain, FFT_SIZE), BEFORE)[:RESPONSE], BEFORE // 2)
    y = scipy.signal.oaconvolve(x, response)
    return y[BEFORE : BEFORE + len(x)].astype(np.float32)


def add_noise(x: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`x` and noise at a ratio of powers; silence stays what it is."""
    power, noise_power = np.mean(x**2), np.mean(noise**2)
    if power == 0 or noise_power == 0:
        return x
    return x + noise * np.float32(np.sqrt(power / noise_power) * 10 ** (-snr_db / 20))


def at_level(x: np.ndarray, of: np.ndarray, level_db: float) -> np.ndarray:
    """`x` so that a part of it has a power, in decibels of full scale; silence stays what it is."""
    power = float(np.mean(np.square(of))) if len(of) else 0.0
    return x * np.float32(np.sqrt(10 ** (level_db / 10) / power)) if power > 0 else x


def mask_time(x: np.ndarray, rng: np.random.Generator, longest_s: float) -> np.ndarray:
    """`x` with one stretch silenced."""
    length = int(rng.uniform(0, longest_s) * SAMPLE_RATE_HZ)
    start = int(rng.integers(0, max(1, len(x) - length)))
    out = x.copy()
    out[start : start + length] = 0
    return out


def gain(x: np.ndarray, gain_db: float) -> np.ndarray:
    """`x` louder or softer, clipped at full scale."""
    return np.clip(x * np.float32(10 ** (gain_db / 20)), -1, 1)
