"""Made-up words as recordings, one folder a word: tones that glide, each clip in its own way."""

from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE_HZ = 16_000
WORDS = {"rise": (300, 1_200), "fall": (1_200, 300), "low": (250, 250), "high": (2_500, 2_500)}
OTHER = (700, 700)


def word(from_hz: float, to_hz: float, rng: np.random.Generator) -> np.ndarray:
    """About a second with a tone of 0.25 to 0.4 s in it, in a little noise."""
    length = int(rng.uniform(0.25, 0.4) * SAMPLE_RATE_HZ)
    pitch = rng.uniform(0.9, 1.1)
    phase = 2 * np.pi * np.cumsum(np.linspace(from_hz, to_hz, length)) * pitch / SAMPLE_RATE_HZ
    tone = (np.sin(phase) + 0.3 * np.sin(2 * phase)) * np.hanning(length) ** 0.5
    x = 1e-3 * rng.standard_normal(int(rng.uniform(0.8, 1.0) * SAMPLE_RATE_HZ))
    start = int(rng.uniform(0.05, 0.3) * SAMPLE_RATE_HZ)
    x[start : start + length] += rng.uniform(0.1, 0.5) * tone
    return x.astype(np.float32)


def make_words(root: Path, *, clips: int, seed: int = 0, others: bool = True) -> Path:
    """`root` with `clips` recordings of each word; with `others` of other words and noise too."""
    rng = np.random.default_rng(seed)
    folders = WORDS | ({"_unknown_": OTHER} if others else {})
    for name, glide in folders.items():
        (root / name).mkdir(parents=True)
        for n in range(clips):
            soundfile.write(root / name / f"{n:02}.wav", word(*glide, rng), SAMPLE_RATE_HZ)
    if others:
        (root / "_background_noise_").mkdir()
        noise = 0.02 * rng.standard_normal(8 * SAMPLE_RATE_HZ)
        soundfile.write(root / "_background_noise_" / "hiss.wav", noise, SAMPLE_RATE_HZ)
    return root
