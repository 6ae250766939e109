"""A resampler for rates that the model does not run at, whose state can be saved.

soxr does not show its state.  It hears only some samples around each one, though: fed again
with the last of what it heard, from a sample that falls on one of the output's, a new one gives
the same output (to 1e-6; the tests hold it to that).  So the state is this tail.
"""

import math
from typing import NamedTuple, Self

import numpy as np
import soxr

from sssm.audio import Samples

MEMORY = 320  # more than its filter spans on either side, in samples of the lower rate


class ResamplerState(NamedTuple):
    """What makes a `Resampler` again."""

    tail: Samples  # (n,) the last of the input
    given: int  # samples of the output so far, counted from the start of the tail


class Resampler:
    """(n,) at one rate -> what is ready at the other, samples of no piece lost.

    Args:
        from_hz: rate of the input.
        to_hz: rate of the output.
    """

    def __init__(self, from_hz: int, to_hz: int):
        self._rates = from_hz, to_hz
        self._tail = self._ready = np.zeros(0, np.float32)
        self._skip = self._given = 0
        self.restore(ResamplerState(np.zeros(0, np.float32), 0))

    def push(self, x: Samples) -> Samples:
        """The next of the input, and what of the output it made ready."""
        self._tail = np.concatenate([self._tail, x])
        y: Samples = self._soxr.resample_chunk(x)
        skipped = min(self._skip, len(y))
        y = np.concatenate([self._ready, y[skipped:]])
        self._skip -= skipped
        self._ready = y[:0]
        self._given += len(y)
        self._forget()
        return y

    @property
    def state(self) -> ResamplerState:
        return ResamplerState(self._tail.copy(), self._given)

    def restore(self, state: ResamplerState) -> Self:
        """Go on as the resampler that `state` is of; returns itself."""
        self._soxr = soxr.ResampleStream(*self._rates, 1, dtype="float32")
        self._tail, self._given = state.tail, state.given
        again: Samples = self._soxr.resample_chunk(state.tail)
        # It works in blocks, so it may be behind or ahead of where the other one was.
        self._skip = max(0, state.given - len(again))
        self._ready = again[state.given :]
        return self

    def _forget(self) -> None:
        """Drop input that no output to come depends on."""
        from_hz, to_hz = self._rates
        common = math.gcd(from_hz, to_hz)
        memory = MEMORY * to_hz // min(from_hz, to_hz)
        steps = (self._given - memory) // (to_hz // common)
        if steps > 0:
            self._tail = self._tail[steps * (from_hz // common) :].copy()
            self._given -= steps * (to_hz // common)
