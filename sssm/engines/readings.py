"""Audio cut where the filterbank is read."""

import numpy as np
from numpy.typing import NDArray

from sssm.audio import Samples
from sssm.timing import READINGS_HZ, end_of, ended_within


def cut(
    x: Samples, before: int, size: int, sample_rate_hz: int
) -> tuple[Samples, NDArray[np.int64]]:
    """(rows, readings, size), each reading's samples after zeros, and how many it has.

    Args:
        x: (rows, samples), of which the last ends a reading.
        before: samples before the first, where one ends.
        size: samples of a reading, at most.
        sample_rate_hz: of the audio.
    """
    first, last = (
        ended_within(samples, READINGS_HZ, sample_rate_hz)
        for samples in (before, before + x.shape[1])
    )
    edges = end_of(np.arange(first, last + 1), READINGS_HZ, sample_rate_hz) - before
    lengths = np.diff(edges)
    if sample_rate_hz == size * READINGS_HZ:  # all readings are full
        return x.reshape(len(x), len(lengths), size), lengths
    back = np.arange(size - 1, -1, -1)
    index = np.maximum(edges[1:, None] - 1 - back, 0)
    return x[:, index] * (back < lengths[:, None]), lengths
