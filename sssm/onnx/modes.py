"""The filterbank's modes as matrices for one rate: what an exported graph holds or is handed.

The same numbers as `sssm.layers.filterbank` and `sssm.ops.filterbank.parallel`, without torch, so
that an engine can work them out at any rate.  A state is four real planes a mode: re 1, im 1, re 2,
im 2; a reading is |stage 2|^2, four times a frame.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sssm.timing import QUIET, READINGS_A_FRAME, READINGS_HZ, end_of

PLANES = 4
RESULTS = PLANES + 2 * READINGS_A_FRAME  # of a frame: its last state, and stage 2 at each reading
FRAMES_A_BLOCK = 8  # frames that an exported chunk hears at once, where there are so many

Array = NDArray[np.float32]


class Matrices(NamedTuple):
    """The bank at one rate, for frames whose readings have the same lengths."""

    taps: Array  # (S, 4K) what each sample of a reading adds to the state
    frame: Array  # (12, 20, K) results of a frame from its 16 such sums and the state before
    by_mode: Array  # (K, 20, 12) the same
    block: Array  # (K, 4F + 4, 4F + 4) from F frames' sums and a state to the states around them
    absent: Array  # (1, K) 1 where a mode lies too high for the rate to be heard


class Modes(NamedTuple):
    """Centre and width of every mode, and its gain at its centre: (K,) each."""

    centre_hz: Array
    width_hz: Array
    gain: Array

    @classmethod
    def from_json(cls, values: Mapping[str, Sequence[float]]) -> Self:
        return cls(*(np.array(values[name], np.float32) for name in cls._fields))

    def to_json(self) -> dict[str, list[float]]:
        return {name: [float(x) for x in values] for name, values in self._asdict().items()}

    def discrete(self, sample_rate_hz: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        """Pole of every mode at this rate, and the gain of a stage.

        In float64: a pole rounded to float32 in some other way than torch's costs 3e-6 of a score.
        """
        turn = 2 * math.pi / sample_rate_hz
        centre, width, gain = (part.astype(np.float64) for part in self)
        return np.exp(turn * (1j * centre - width / 2)), -np.expm1(-turn * width / 2) * gain

    def matrices(self, sample_rate_hz: int, lengths: Sequence[int]) -> Matrices:
        """For frames whose four readings have these lengths, in samples.

        A mode that the rate cannot hold is silent: its sums are zero.
        """
        a, b, absent = self._heard(sample_rate_hz)
        carries = [_carry(a, b, length) for length in lengths]
        frame = _frame(carries)
        values = (
            _taps(a, b, -(-sample_rate_hz // READINGS_HZ)),
            frame.swapaxes(0, 1),
            np.moveaxis(frame, -1, 0),
            _block(_product(carries), FRAMES_A_BLOCK),
            absent[None],
        )
        return Matrices(*(np.ascontiguousarray(value, np.float32) for value in values))

    def carry(self, sample_rate_hz: int) -> Array:
        """(4, 4, K) from the state before one sample of silence to that after it."""
        a, b, _ = self._heard(sample_rate_hz)
        return _carry(a, b, 1).astype(np.float32)

    def _heard(self, rate: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """`discrete` in float64, b being 0 where a mode is too high, and where that is."""
        a, b = self.discrete(rate)
        absent = self.centre_hz + self.width_hz > rate / 2
        return a, np.where(absent, 0, b), absent


def reading_lengths(sample_rate_hz: int, frame: int = 0) -> list[int]:
    """Samples of the four readings of a frame, counted from 0."""
    first = frame * READINGS_A_FRAME
    numbers = np.arange(first, first + READINGS_A_FRAME + 1)
    ends = end_of(numbers, READINGS_HZ, sample_rate_hz)
    return np.diff(ends).tolist()


def _planes(h: NDArray[Any]) -> NDArray[np.float64]:
    """Complex (2, ...) of two stages -> real (4, ...)."""
    return np.stack([h[0].real, h[0].imag, h[1].real, h[1].imag])


def _taps(a: NDArray[Any], b: NDArray[Any], size: int) -> NDArray[np.float64]:
    after = np.arange(size - 1, -1, -1)[:, None]  # samples from this one to the end
    first = a**after * b
    second = first * b * (after + 1)
    return np.moveaxis(_planes(np.stack([first, second])), 0, 1).reshape(size, -1)


def _carry(a: NDArray[Any], b: NDArray[Any], length: int) -> NDArray[np.float64]:
    """(4, 4, K) from the planes before to those after so many samples of silence."""
    hold = a**length
    hand = length * b * hold
    carry = np.zeros((PLANES, PLANES, len(a)))
    for before, after, factor in ((0, 0, hold), (2, 2, hold), (0, 2, hand)):
        carry[before, after], carry[before, after + 1] = factor.real, factor.imag
        carry[before + 1, after], carry[before + 1, after + 1] = -factor.imag, factor.real
    return carry


def _product(carries: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """What several carries do one after the other."""
    product = np.broadcast_to(np.eye(PLANES)[..., None], carries[0].shape)
    for carry in carries:
        product = np.einsum("ijk,jlk->ilk", product, carry)
    return product


def _frame(carries: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(20, 12, K): rows the sums of each reading, then the state before.

    Columns are the last state, then both planes of stage 2 at each reading, scaled so that the sum
    of their squares is the frame's mean energy in units of `QUIET`.
    """
    modes = carries[0].shape[2]
    matrix = np.zeros((PLANES * (READINGS_A_FRAME + 1), RESULTS, modes))
    none = np.broadcast_to(np.eye(PLANES)[..., None], carries[0].shape)
    scale = math.sqrt(1 / (READINGS_A_FRAME * QUIET))
    for source in range(READINGS_A_FRAME + 1):
        rows = slice(PLANES * source, PLANES * (source + 1))
        if source == READINGS_A_FRAME:  # the state before: all carries are after it
            reached = [_product(carries[: m + 1]) for m in range(READINGS_A_FRAME)]
        else:
            reached = [
                _product([none, *carries[source + 1 : m + 1]]) if m >= source else 0 * none
                for m in range(READINGS_A_FRAME)
            ]
        matrix[rows, :PLANES] = reached[-1]
        for m, after in enumerate(reached):
            columns = slice(PLANES + 2 * m, PLANES + 2 * m + 2)
            matrix[rows, columns] = scale * after[:, 2:]
    return matrix


def _block(carry: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """(K, 4F + 4, 4F + 4): rows what each frame adds, and a state; columns states around."""
    sources, modes = frames + 1, carry.shape[2]
    powers = [np.broadcast_to(np.eye(PLANES)[..., None], carry.shape)]
    for _ in range(frames):
        powers.append(_product([powers[-1], carry]))
    matrix = np.zeros((sources, PLANES, sources, PLANES, modes))
    for time in range(sources):
        matrix[frames, :, time] = powers[time]  # the state before is the last source
        for source in range(time):
            matrix[source, :, time] = powers[time - 1 - source]
    return np.moveaxis(matrix.reshape(PLANES * sources, PLANES * sources, modes), -1, 0)
