"""Where a word starts and ends in a clean recording of it.

There is this one definition: labels of streams and the latency of a detection both count from it.
"""

import numpy as np

from sssm.timing import FRAMES_HZ
from training.corpus import SAMPLE_RATE_HZ

FRAME = SAMPLE_RATE_HZ // FRAMES_HZ  # 10 ms
FRAMES_SMOOTHED = 3  # 30 ms
RANGE_DB = 20.0


def word_span(samples: np.ndarray) -> tuple[int, int]:
    """Where the frames of 10 ms start and end that are within 20 dB of the loudest one.

    They are smoothed over 30 ms.  All zeros have no word, and are one from start to end.
    """
    loud = np.flatnonzero(_loud_frames(samples))
    if not len(loud):
        return 0, len(samples)
    return int(loud[0]) * FRAME, min(len(samples), int(loud[-1] + 1) * FRAME)


def _loud_frames(samples: np.ndarray) -> np.ndarray:
    """(frames,) whether a frame's smoothed power is within 20 dB of the highest."""
    frames = np.pad(samples.astype(np.float64), (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    power = np.square(frames).mean(axis=1)
    if not power.any():
        return np.zeros(len(power), bool)
    around = np.pad(power, FRAMES_SMOOTHED // 2, mode="edge")
    smooth = np.convolve(around, np.full(FRAMES_SMOOTHED, 1 / FRAMES_SMOOTHED), mode="valid")
    return smooth >= smooth.max() * 10 ** (-RANGE_DB / 10)
