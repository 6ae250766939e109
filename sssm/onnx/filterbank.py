"""The filterbank in real arithmetic, see `sssm.layers.filterbank` and `modes.py`.

Samples become sums by one product; from the sums of a frame and the state before, one product
more gives the state after and the readings.  Logarithm, gain and affine map are one linear map of
log energies and their means, which the map into the blocks is part of.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sssm.layers.arrays import Array
from sssm.onnx.graph import Graph
from sssm.onnx.modes import FRAMES_A_BLOCK, PLANES, RESULTS, Matrices
from sssm.onnx.recurrence import unrolled
from sssm.onnx.state import State
from sssm.timing import READINGS_A_FRAME

SUMS = PLANES * READINGS_A_FRAME  # of a frame: 16 a mode


class Bands(NamedTuple):
    """What follows the energies: (K,) each, but `lift` (K, H) and `lift_bias` (H,)."""

    decay: Array  # of the gain's mean
    share: Array  # of the mean that a band loses
    scale: Array
    shift: Array
    unheard: Array
    lift: Array
    lift_bias: Array


class Bank(NamedTuple):
    """Values of a graph: the bank's matrices, constant or handed in (see `modes.Matrices`)."""

    taps: str  # (S, 4K)
    frame: str  # (12, 20, K)
    by_mode: str  # (K, 20, 12), the same
    block: str  # (K, 4F + 4, 4F + 4)
    offset: str  # (1, H + K) what the linear map of the bands adds


class FilterbankGraph:
    """The front of a model with a filterbank, up to and with the map into the blocks."""

    together = FRAMES_A_BLOCK  # frames

    def __init__(self, bands: Bands):
        self._bands = bands
        K = len(bands.decay)
        self.modes = K
        self.width = SUMS * K  # numbers of a frame's sums
        self.states = (State("bank", (PLANES, K)), State("gain", (K,)))
        keep = np.concatenate([np.diag(1 - bands.decay), np.diag(bands.decay)])
        now, before = self._factors()
        y = np.concatenate([now[:, None] * bands.lift, before[:, None] * bands.lift])
        self._map = np.concatenate([y, keep], axis=1).astype(np.float32)  # (2K, H + K)
        none = np.zeros((K, K), np.float32)
        missing = (bands.unheard - bands.shift)[:, None] * bands.lift
        self._missing = np.concatenate([missing, none], axis=1)  # (K, H + K)
        bias = bands.shift @ bands.lift + bands.lift_bias
        self._bias = np.concatenate([bias, none[0]]).astype(np.float32)

    def constants(self, g: Graph, matrices: Matrices) -> Bank:
        """A bank that is part of the file."""
        values = (*matrices[:-1], self.offset(matrices))
        return Bank(*(g.constant(value, "bank") for value in values))

    def offset(self, matrices: Matrices) -> Array:
        """(1, H + K) what the linear map of the bands adds at this rate."""
        offset: Array = self._bias + matrices.absent @ self._missing
        return offset

    def optional(self, g: Graph, matrices: Matrices) -> Bank:
        """A bank that a caller may replace by that of another rate."""
        taps, frame, by_mode, block, absent = (
            g.optional(name, value, ("reading", value.shape[1]) if name == "taps" else value.shape)
            for name, value in matrices._asdict().items()
        )
        missing, bias = g.constant(self._missing), g.constant(self._bias)
        return Bank(taps, frame, by_mode, block, g.linear(absent, missing, bias))

    def sums(self, g: Graph, audio: str, bank: Bank, size: Sequence[int] | str) -> str:
        """(batch, readings S) -> (batch, readings, 4K); `size` is (0, -1, S), or such a value."""
        return g.matmul(g.reshape(audio, size), bank.taps)

    def one(self, g: Graph, sums: str, bank: Bank, states: Sequence[str]) -> tuple[str, list[str]]:
        """A frame's sums (batch, 16, K) -> (batch, H), and the next states."""
        sources = g.unsqueeze(g.concat([sums, states[0]], axis=1), [1])
        results = g.sum(g.multiply(sources, bank.frame), [2])
        h, readings = g.split(results, [PLANES, RESULTS - PLANES], axis=1)
        y, gain = self.hear(g, g.sum_of_squares(readings, 1), bank.offset, states[1])
        return y, [g.flush(h), gain]

    def hear(self, g: Graph, energy: str, offset: str, gain: str) -> tuple[str, str]:
        """A frame's energy (batch, K) in units of `QUIET` -> (batch, H), and the gain's mean."""
        loud = g.log(g.add(energy, g.constant(1.0)))
        both = g.linear(g.concat([loud, gain], axis=1), g.constant(self._map), offset)
        y, gain = g.split(both, [len(self._bands.lift_bias), self.modes], axis=1)
        return y, g.flush(gain)

    def many(
        self, g: Graph, sums: str, bank: Bank, states: Sequence[str], count: int
    ) -> tuple[str, list[str]]:
        """Sums (batch, count, 16, K) -> (batch count, H), and the next states.

        Mode by mode, (K, batch, ...): sums to states around the frames, these to readings.
        """
        K, H = self.modes, len(self._bands.lift_bias)
        by_mode = g.unsqueeze(bank.by_mode, [1])
        added = g.slice(g.slice(by_mode, 0, SUMS, 2), 0, PLANES, 3)  # to the state after

        u = g.transpose(sums, (3, 0, 1, 2))  # (K, batch, frames, 16)
        left = g.reshape(g.matmul(u, added), (K, -1, PLANES * count))
        sources = g.concat([left, g.transpose(states[0], (2, 0, 1))], axis=2)
        before, h = g.split(g.matmul(sources, bank.block), [PLANES * count, PLANES], axis=2)
        before = g.reshape(before, (K, -1, count, PLANES))
        results = g.matmul(g.concat([u, before], axis=3), by_mode)
        readings = g.slice(results, PLANES, RESULTS, 3)
        loud = g.log(g.add(g.sum_of_squares(readings, 3), g.constant(1.0)))  # (K, batch, frames)
        mean = g.unsqueeze(g.transpose(states[1], (1, 0)), [2])
        matrix = g.constant(self._gain(count).astype(np.float32))
        after = g.matmul(g.concat([loud, mean], axis=2), matrix)
        heard, mean = g.split(after, [count, 1], axis=2)
        bands = g.reshape(g.transpose(heard, (1, 2, 0)), (-1, K))
        y, _ = g.split(bank.offset, [H, K], axis=1)
        y = g.linear(bands, g.constant(self._bands.lift), y)
        mean = g.reshape(g.transpose(mean, (1, 0, 2)), (-1, K))
        return y, [g.flush(g.transpose(h, (1, 2, 0))), g.flush(mean)]

    def _factors(self) -> tuple[Array, Array]:
        """What a band says of its log energy, and of the mean before: see `Filterbank._bands`."""
        decay, share, scale = self._bands.decay, self._bands.share, self._bands.scale
        return scale * (1 - share * (1 - decay)), -scale * share * decay

    def _gain(self, count: int) -> NDArray[np.float64]:
        """(K, count + 1, count + 1) from log energies and their mean to bands and the mean."""
        now, before = self._factors()
        decay = self._bands.decay.astype(np.float64)[:, None]
        return unrolled(decay[..., None], 1 - decay, before[:, None], now, count)
