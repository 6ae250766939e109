"""When frames end, in samples, and how loud silence is: what every form of the model shares.

Frames, and the readings that they are means of, are so many a second at every rate of audio.  Where
that is no whole number of samples they take turns to be one sample longer, and never drift: number
n = 1, 2, ... ends at floor(n rate / so many a second).
"""

from typing import Any, overload

FRAMES_HZ = 100
"""Frames a second: decisions, and elements of the layers behind the front."""

READINGS_A_FRAME = 4
READINGS_HZ = READINGS_A_FRAME * FRAMES_HZ
"""How often the bank's energy is read; a frame is a mean of four readings."""

FRAMES_A_MEAN = 5
"""A clip's answer is made of means of 50 ms."""

QUIET = 1e-9
"""Energy of a frame that counts as silence: a band hears log1p(energy / QUIET), 0 of zeros."""

NATIVE_RATES_HZ = (8_000, 48_000)
"""Lowest and highest rate of audio that a model hears without a resampler."""

RESAMPLED_HZ = 16_000
"""Rate to which audio at any other rate is resampled."""


def whole_rate(sample_rate_hz: float, bounds: tuple[int, int]) -> int:
    """The rate as a whole number, where it is one within bounds, lowest and highest.

    Raises:
        ValueError: no whole number of samples a second, or outside of them.
    """
    low, high = bounds
    if not low <= sample_rate_hz <= high or int(sample_rate_hz) != sample_rate_hz:
        raise ValueError(
            f"rate must be a whole number from {low} to {high} Hz, got {sample_rate_hz}"
        )
    return int(sample_rate_hz)


def heard_rate(sample_rate_hz: int) -> int:
    """Rate at which a model hears audio: its own from 8 to 48 kHz, else `RESAMPLED_HZ`."""
    low, high = NATIVE_RATES_HZ
    return sample_rate_hz if low <= sample_rate_hz <= high else RESAMPLED_HZ


@overload
def end_of(n: int, per_s: int, sample_rate_hz: int) -> int: ...
@overload
def end_of(n: Any, per_s: int, sample_rate_hz: int) -> Any: ...
def end_of(n: Any, per_s: int, sample_rate_hz: int) -> Any:
    """Samples up to the end of number n, or of each of an array, of so many a second; 0 for 0."""
    return n * sample_rate_hz // per_s


def ended_within(samples: int, per_s: int, sample_rate_hz: int) -> int:
    """How many, of so many a second, end within so many samples."""
    return ((samples + 1) * per_s - 1) // sample_rate_hz


def frame_end(frame: int, sample_rate_hz: int) -> int:
    """Samples up to the end of frame n = 1, 2, ...; 0 for 0."""
    return end_of(frame, FRAMES_HZ, sample_rate_hz)


def frames_within(samples: int, sample_rate_hz: int) -> int:
    """Frames that end within so many samples."""
    return ended_within(samples, FRAMES_HZ, sample_rate_hz)
