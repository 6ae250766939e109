"""Animals, knocks and beeps that nobody recorded: each draw is another one, from a few equations.

A dog's bark is nearly "up" or "stop", and so is a knock; recordings hold few dogs, and a folder of
one's own words holds none.  An animal is a source and a filter (Fant 1960, Acoustic Theory of
Speech Production): pulses whose pitch rises and falls, with breath, through three resonances.  What
is struck rings in modes that die away.  Each is heard a few times in a row, as dogs bark.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.signal

from training import augment
from training.corpus import SAMPLE_RATE_HZ

SERIES_S = (0.3, 4.0)
ROOM = 0.5  # probability
BREATH = (0.02, 0.8)  # level of noise beside pulses of height 1
RESONANCES_HZ = ((350.0, 1_500.0), (1_200.0, 3_200.0), (2_500.0, 6_000.0))
RESONANCE_WIDTH_HZ = (60.0, 600.0)
MODES_HZ, MODE_S = (120.0, 5_000.0), (0.005, 0.12)  # what is struck: pitch, time constant
STRUCK_S = 0.4
BEEP_HZ, BEEP_S = (300.0, 5_000.0), (0.05, 0.6)
EDGE = int(0.01 * SAMPLE_RATE_HZ)


class Animal(NamedTuple):
    """Ranges of what an animal's voice can do."""

    pitch_hz: tuple[float, float]
    seconds: tuple[float, float]  # of one call
    rough: tuple[float, float]  # how much its pitch jumps, in tenths of itself


ANIMALS = (
    Animal((250, 700), (0.07, 0.3), (0, 1.5)),  # barks
    Animal((600, 1_500), (0.05, 0.2), (0, 1.5)),  # yaps
    Animal((50, 160), (0.2, 0.9), (1, 3)),  # growls
    Animal((250, 900), (0.5, 2.0), (0, 1.5)),  # howls
    Animal((300, 700), (0.3, 1.2), (0, 1.5)),  # cries
)

Source = Callable[[], np.ndarray]  # an animal's or a stroke's is never quite the one before


def made_sound(rng: np.random.Generator) -> np.ndarray:
    """An animal or a thing, heard once or some times in a row: float32 at 16 kHz, at most 1."""
    kind = (_animal, _animal, _animal, _struck, _beeping)[rng.integers(5)]
    source, pause_s = kind(rng), rng.uniform(0.05, 1.2)
    pieces, left = [], int(rng.uniform(*SERIES_S) * SAMPLE_RATE_HZ)
    while left > 0:
        x = source()
        pause = np.zeros(int(rng.exponential(pause_s) * SAMPLE_RATE_HZ))
        pieces += [x * (rng.uniform(0.3, 1) / max(float(np.abs(x).max()), 1e-9)), pause]
        left -= len(x) + len(pause)
    series = np.concatenate(pieces[:-1])
    if rng.random() < ROOM:
        series = scipy.signal.fftconvolve(series, augment.room_response(rng))
    return (series / max(1.0, float(np.abs(series).max()))).astype(np.float32)


def _animal(rng: np.random.Generator) -> Source:
    """An animal's calls."""
    kind = ANIMALS[rng.integers(len(ANIMALS))]
    pitch_hz, rough = _even_in_log(kind.pitch_hz, rng), rng.uniform(*kind.rough)
    rise, fall = rng.uniform(0, 0.9), rng.uniform(0, 0.7)  # octaves
    when = rng.uniform(0.4, 1.5)  # it is highest: below 1 early in a call, above 1 late
    pulses, breath = rng.random() < 0.7, rng.uniform(*BREATH)
    attack, decay = rng.uniform(0.02, 0.25), rng.uniform(0.2, 0.9)  # shares of a call
    resonances = [
        (rng.uniform(*hz), rng.uniform(*RESONANCE_WIDTH_HZ), rng.uniform(0.2, 1))
        for hz in RESONANCES_HZ
    ]

    def call() -> np.ndarray:
        n = int(rng.uniform(*kind.seconds) * SAMPLE_RATE_HZ)
        t = np.arange(n) / n
        octaves = rise * np.sin(np.pi * t**when) - fall * t + 0.02 * rng.standard_normal()
        jumps = np.repeat(rng.standard_normal(n // 40 + 1), 40)[:n]
        cycles = np.cumsum(pitch_hz * 2**octaves * (1 + 0.1 * rough * jumps)) / SAMPLE_RATE_HZ
        voice = 2 * (cycles % 1) - 1 if pulses else np.sin(2 * np.pi * cycles)
        heard = _through(voice + breath * rng.standard_normal(n), resonances)
        return heard * np.minimum(t / attack, 1) * np.minimum((1 - t) / decay, 1)

    return call


def _through(x: np.ndarray, resonances: list[tuple[float, float, float]]) -> np.ndarray:
    """`x` through resonances side by side: frequency and width in hertz, and gain of each."""
    heard = np.zeros_like(x)
    for hz, width_hz, gain in resonances:
        r, turn = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ), 2 * np.pi * hz / SAMPLE_RATE_HZ
        heard += gain * scipy.signal.lfilter([1 - r], [1, -2 * r * np.cos(turn), r * r], x)
    return heard


def _struck(rng: np.random.Generator) -> Source:
    """A thing that is struck: a door, a glass."""
    modes = [
        (_even_in_log(MODES_HZ, rng), rng.uniform(*MODE_S), rng.uniform(0.2, 1))
        for _ in range(rng.integers(1, 6))
    ]
    click = rng.uniform(0, 0.5)
    t = np.arange(int(STRUCK_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ

    def stroke() -> np.ndarray:
        x = click * rng.standard_normal(len(t)) * np.exp(-t / 0.01)
        for hz, decay_s, gain in modes:
            turn = 2 * np.pi * hz * 2 ** (0.02 * rng.standard_normal())
            x += gain * np.exp(-t / decay_s) * np.sin(turn * t + rng.uniform(0, 2 * np.pi))
        return x

    return stroke


def _beeping(rng: np.random.Generator) -> Source:
    """A device that beeps: its tone stays or glides."""
    hz, glide = _even_in_log(BEEP_HZ, rng), rng.uniform(-0.5, 0.5) * (rng.random() < 0.5)
    t = np.arange(int(rng.uniform(*BEEP_S) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    turn = 2 * np.pi * np.cumsum(hz * 2 ** (glide * t / t[-1])) / SAMPLE_RATE_HZ
    tone = augment.fade(np.sin(turn) + rng.uniform(0, 0.6) * np.sin(3 * turn), EDGE)
    return lambda: tone


def _even_in_log(low_high: tuple[float, float], rng: np.random.Generator) -> float:
    """Between two bounds, every octave as likely as the next."""
    return float(np.exp(rng.uniform(*np.log(low_high))))
