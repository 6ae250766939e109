"""Takes of a word cut from a stream of sound, each with a judgement of its level.

Decided here, by loudness alone: where a word starts and ends, and whether it can be used.  Pure:
samples in, takes out.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sssm.audio import Samples
from sssm.hearing import FULL_SCALE

FRAME_S = 0.01
SMOOTHED = 3  # frames in the mean that is compared
CONTEXT_S = 0.25  # kept before and after a word
NOISE_S = 1.0  # of live sound, from which the noise is measured
STARTS_DB, GOES_ON_DB = 15.0, 8.0  # above the noise
LEAST_DB = -50.0  # of full scale: softer is no word
RANGE_DB = 35.0  # below a word's loudest frame it is over, even in no noise at all
OVER_S = 0.4  # of quiet, after which a word is over; the stop in "stop" is shorter
SHORTEST_S, LONGEST_S = 0.08, 2.5
QUIET_DB = -35.0  # peak of a word that was said too softly
CLIPPED_SAMPLES = 3  # of a word
CLIPPED_SHARE = 0.01  # of a piece: what is broadcast is often as loud as can be
LOST = "some sound was lost"
NOISE_FLOOR = 1e-7  # -70 dB: below it a device is as good as silent
NOISE_RISE = 1.01  # a frame: the noise is a minimum that forgets, 4 dB a second


class Take(NamedTuple):
    """A word with what is around it, or a piece of whatever is to be heard."""

    samples: Samples
    word_s: float  # without what is around it
    peak_db: float
    fault: str = ""  # why it can't be used; nothing where it can


class WordFinder:
    """Finds one word after the other.

    Args:
        sample_rate_hz: of the samples.
        noise_s: seconds at the start in which the noise is measured.
        patience_s: seconds without a word that are a take with a fault.
    """

    def __init__(self, sample_rate_hz: int, *, noise_s: float = 0.0, patience_s: float = math.inf):
        self.sample_rate_hz = sample_rate_hz
        self._length = round(FRAME_S * sample_rate_hz)
        self._unmeasured, self._patience = _frames(noise_s), patience_s / FRAME_S
        self._rest = np.zeros(0, np.float32)
        self._frames: list[Samples] = []
        self._powers: list[float] = []
        self._noise = math.inf
        self._since: int | None = None  # frame in which the word rose above the noise
        self._last = 0  # last frame that was loud enough to belong to it
        self._loudest = 0.0
        self._waited = 0  # frames without a word
        self._heard_any = False  # anything but zeros

    @property
    def is_ready(self) -> bool:
        return self._unmeasured <= 0

    def hear(self, samples: Samples) -> list[Take]:
        """Takes that the next (n,) samples complete."""
        x = np.concatenate([self._rest, samples])
        whole = len(x) // self._length * self._length
        self._rest = x[whole:]
        takes = []
        for frame in x[:whole].reshape(-1, self._length):
            if take := self._step(frame):
                takes.append(take)
        return takes

    def _step(self, frame: Samples) -> Take | None:
        self._frames.append(frame)
        self._powers.append(float(np.square(frame, dtype=np.float64).mean()))
        power = float(np.mean(self._powers[-SMOOTHED:]))
        self._heard_any |= power > 0
        if not self.is_ready:
            self._unmeasured -= 1
            self._noise = max(NOISE_FLOOR, float(np.percentile(self._powers, 20)))
            return None
        if self._since is None:
            return self._wait(power)
        return self._go_on(power)

    def _wait(self, power: float) -> Take | None:
        """A frame outside of words."""
        self._waited += 1
        if power > max(_ratio(STARTS_DB) * self._noise, _ratio(LEAST_DB)):
            self._since = self._onset()
            self._last, self._loudest = len(self._powers) - 1, power
            return None
        self._noise = max(NOISE_FLOOR, min(NOISE_RISE * self._noise, power))
        if self._waited > self._patience:
            fault = "nothing heard" if self._heard_any else "only zeros: is the microphone muted?"
            self._waited, self._heard_any = 0, False
            return Take(joined(self._frames[-1:]), 0.0, -math.inf, fault)
        kept = 2 * _frames(CONTEXT_S)
        del self._frames[:-kept], self._powers[:-kept]
        return None

    def _onset(self) -> int:
        """Back from the frame that is loud to the first that is above the noise at all."""
        first = len(self._powers) - 1
        while first > 0 and self._powers[first - 1] > _ratio(GOES_ON_DB) * self._noise:
            first -= 1
        return first

    def _go_on(self, power: float) -> Take | None:
        """A frame inside of a word, or in the quiet after it."""
        assert self._since is not None
        now = len(self._powers) - 1
        self._loudest = max(self._loudest, power)
        if power > max(_ratio(GOES_ON_DB) * self._noise, _ratio(-RANGE_DB) * self._loudest):
            self._last = now
        too_long = now - self._since > _frames(LONGEST_S)
        if now - self._last < _frames(OVER_S) and not too_long:
            return None
        return self._cut(too_long=too_long)

    def lose(self) -> list[Take]:
        """A word that was being said where sound is missing, which cannot be used."""
        takes = [self._cut(too_long=False)._replace(fault=LOST)] if self._since is not None else []
        self._frames, self._powers, self._rest = [], [], np.zeros(0, np.float32)
        return takes

    def finish(self) -> list[Take]:
        """The word that is not over at the end of the sound."""
        return [] if self._since is None else [self._cut(too_long=False)]

    def _cut(self, *, too_long: bool) -> Take:
        assert self._since is not None
        if too_long:  # a fan was switched on: from now on it is the noise
            self._noise = max(NOISE_FLOOR, float(np.median(self._powers[self._since :])))
        word = joined(self._frames[self._since : self._last + 1])
        start, end = self._since - _frames(CONTEXT_S), self._last + 1 + _frames(CONTEXT_S)
        around = joined(self._frames[max(0, start) : end])
        word_s = len(word) / self.sample_rate_hz
        peak_db = decibels(float(np.abs(word).max()))
        take = Take(around, word_s, peak_db, _fault(word, word_s, peak_db, too_long=too_long))
        del self._frames[: self._last + 1], self._powers[: self._last + 1]
        self._since, self._waited = None, 0
        return take


class PieceCutter:
    """Cuts whatever is to be heard into takes of one length.

    Args:
        sample_rate_hz: of the samples.
        take_s: seconds of a take.
        shortest_s: seconds of what is left at the end that are a take too.
        quiet_db: peak below which a take has a fault.
    """

    def __init__(
        self, sample_rate_hz: int, *, take_s: float, shortest_s: float, quiet_db: float = -math.inf
    ):
        self.sample_rate_hz, self._length = sample_rate_hz, round(take_s * sample_rate_hz)
        self._shortest = round(shortest_s * sample_rate_hz)
        self._quiet_db = quiet_db
        self._pieces: list[Samples] = []
        self.is_ready = True

    def hear(self, samples: Samples) -> list[Take]:
        """Takes that the next (n,) samples complete."""
        self._pieces.append(samples)
        if sum(map(len, self._pieces)) < self._length:
            return []
        x = joined(self._pieces)
        takes = []
        while len(x) >= self._length:
            takes.append(self._take(x[: self._length]))
            x = x[self._length :]
        self._pieces = [x]
        return takes

    def lose(self) -> list[Take]:
        """None: of noise or talk no part is missed."""
        return []

    def finish(self) -> list[Take]:
        """What is left, where it is long enough to be of use."""
        x = joined(self._pieces)
        return [self._take(x)] if len(x) >= max(1, self._shortest) else []

    def _take(self, x: Samples) -> Take:
        peak_db = decibels(float(np.abs(x).max()))
        return Take(x, len(x) / self.sample_rate_hz, peak_db, self._fault(x, peak_db))

    def _fault(self, x: Samples, peak_db: float) -> str:
        if peak_db == -math.inf:
            return "only zeros: is the microphone muted?"
        if peak_db < self._quiet_db:
            return _softness(peak_db)
        return _clipping(x, most=round(CLIPPED_SHARE * len(x)))


def joined(pieces: Sequence[Samples]) -> Samples:
    """One after the other; no piece is no sample."""
    return np.concatenate(pieces) if len(pieces) else np.zeros(0, np.float32)


def decibels(peak: float) -> float:
    """Of full scale."""
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def _fault(word: Samples, word_s: float, peak_db: float, *, too_long: bool) -> str:
    if too_long:
        return f"it went on for {LONGEST_S} s: a noise?"
    if word_s < SHORTEST_S:
        return f"only a click of {word_s:.2f} s"
    if peak_db < QUIET_DB:
        return _softness(peak_db)
    return _clipping(word)


def _softness(peak_db: float) -> str:
    return f"too quiet ({peak_db:.0f} dB): closer to the microphone, or a higher level"


def _clipping(x: Samples, most: int = CLIPPED_SAMPLES - 1) -> str:
    if int((np.abs(x) >= FULL_SCALE).sum()) <= most:
        return ""
    return "clipped: further from the microphone, or a lower level"


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_S)


def _ratio(db: float) -> float:
    """Of powers."""
    return float(10 ** (db / 10))
