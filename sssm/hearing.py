"""What a program pushes, as mono float32, and what was wrong with it.

Decided here: int16 is divided by 32768, floats are taken as they are, channels are averaged as
those of files are; what is no number and what is at full scale is counted.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sssm.audio import Samples, averaged
from sssm.int16 import as_float

FULL_SCALE = 32_767 / 32_768  # where int16, and what was made from it, clips
MOST_CHANNELS = 64  # more are samples: some programs hold them as (channels, n)


class Health(NamedTuple):
    """How many samples of a stream were not as they should be; the channels count as one."""

    replaced_samples: int = 0  # NaN or infinite in some channel, which is left out
    clipped_samples: int = 0  # at full scale or beyond
    silent_samples: int = 0  # exactly zero in every channel, as of a microphone that is off


HEALTHY = Health()


def mono(samples: ArrayLike) -> tuple[Samples, Health]:
    """(n,) or (n, channels) of int16 or float -> (n,) float32, and what was wrong.

    Raises:
        ValueError: another shape or type.
    """
    x = _numbers(samples)
    if x.ndim not in (1, 2) or (x.ndim == 2 and not 1 <= x.shape[1] <= MOST_CHANNELS):
        raise ValueError(f"samples must have shape (n,) or (n, channels), got {x.shape}")
    return mixed(x)


def mixed(x: NDArray[Any]) -> tuple[Samples, Health]:
    """As `mono`, of floats that are known to have their channels last, however many."""
    if x.ndim == 1 and _is_fine(x):  # sample by sample, every microsecond counts
        return np.asarray(x, np.float32), HEALTHY
    x = x if x.ndim == 2 else x[:, None]
    return averaged(x), Health(*(int(flag.sum()) for flag in _flags(x)))


def rows_of_mono(samples: ArrayLike, rows: int) -> tuple[Samples, NDArray[np.int64]]:
    """(rows, n) of int16 or float -> the same in float32, and (3, rows) what each `Health` adds.

    Raises:
        ValueError: another shape or type.
    """
    x = _numbers(samples)
    if x.ndim != 2 or x.shape[0] != rows:
        raise ValueError(f"samples must have shape ({rows}, n), got {x.shape}")
    if _is_fine(x):
        return np.asarray(x, np.float32), np.zeros((3, rows), np.int64)
    x = x[..., None]
    return averaged(x), np.array([flag.sum(axis=1) for flag in _flags(x)])


def _numbers(samples: ArrayLike) -> NDArray[Any]:
    """Floats, of full scale 1 where they came as int16."""
    x = np.asarray(samples)
    if x.dtype.newbyteorder("=") == np.int16:
        return as_float(x)
    if x.dtype.kind != "f":
        raise ValueError(f"samples must be int16 or floats in [-1, 1], got {x.dtype}")
    return x


def _is_fine(x: NDArray[Any]) -> bool:
    """Whether every sample is a number below full scale, and none is zero."""
    # Nearly always settled by the first; NaN is below nothing.
    is_low = np.vdot(x, x) < 0.9 or np.abs(x).max(initial=0) < FULL_SCALE
    return bool(is_low) and np.count_nonzero(x) == x.size


def _flags(x: NDArray[Any]) -> tuple[NDArray[np.bool_], ...]:
    """What `Health` counts, of every sample of (..., channels)."""
    finite = np.isfinite(x)
    level = np.abs(np.where(finite, x, 0)).max(axis=-1)
    broken = ~finite.all(axis=-1)
    return broken, level >= FULL_SCALE, (level == 0) & ~broken
