"""Sounds that a take is cut from: a word, the noise around it, both in turn."""

import numpy as np

RATE_HZ = 16_000


def word(seconds: float = 0.4, level: float = 0.3, rate: int = RATE_HZ) -> np.ndarray:
    n = np.arange(int(seconds * rate))
    return (level * np.sin(2_500 / rate * n) * np.hanning(len(n)) ** 0.25).astype(np.float32)


def noise(seconds: float, level: float = 3e-4, rate: int = RATE_HZ) -> np.ndarray:
    random = np.random.default_rng(int(seconds * 1_000))
    return (level * random.standard_normal(int(seconds * rate))).astype(np.float32)


def sound(*parts: np.ndarray) -> np.ndarray:
    """The parts, each with noise before and after."""
    gaps = [np.concatenate([noise(0.8), part]) for part in parts]
    return np.concatenate([*gaps, noise(0.8)])
