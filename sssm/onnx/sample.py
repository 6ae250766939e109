"""The unit `sample`: one call consumes one sample, and finds out whether it ends a frame.

The audio side runs on every call.  The frame side is inside of an `If` on a counter that all rows
share: it stands for minus 400 times the samples so far, so that a reading ends where it passes a
multiple of the rate, as in `sssm.layers.filterbank`.  What the frame side remembers is one tensor,
because a call that decides nothing has to hand it on.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sssm.onnx.card import StateTensor
from sssm.onnx.filterbank import FilterbankGraph
from sssm.onnx.graph import Graph
from sssm.onnx.model import ModelGraph
from sssm.onnx.modes import PLANES, Modes
from sssm.onnx.samples import SamplesGraph
from sssm.onnx.state import State
from sssm.onnx.units import BATCH, Unit, declare, give
from sssm.timing import FRAMES_HZ, QUIET, READINGS_A_FRAME, READINGS_HZ


class AudioSide(Protocol):
    """What moves with every sample; the last of its states is what a frame is decided by."""

    @property
    def states(self) -> Sequence[State]:
        """What moves with every sample."""

    @property
    def inside(self) -> Sequence[State]:
        """What moves with every frame."""

    def listen(self, g: Graph, audio: str, states: Sequence[str], is_reading: str) -> list[str]:
        """States after one more sample (batch, 1); `is_reading` is (1,), 1 where a reading ends."""

    def finish(self, g: Graph, total: str, inside: Sequence[str]) -> tuple[str, list[str]]:
        """A frame (batch, H) from its total, and the next states inside."""


class BankSide:
    """Both stages of every mode, and the energy of a frame's readings."""

    def __init__(self, front: FilterbankGraph, modes: Modes, sample_rate_hz: int):
        self._front, K = front, front.modes
        self.states = (front.states[0], State("energy", (K,)))
        self.inside = front.states[1:]
        bank = modes.matrices(sample_rate_hz, [1] * READINGS_A_FRAME)
        self._taps = bank.taps[-1].reshape(PLANES, K)  # of a frame's last sample
        self._carry = modes.carry(sample_rate_hz)
        self._offset = front.offset(bank)

    def listen(self, g: Graph, audio: str, states: Sequence[str], is_reading: str) -> list[str]:
        turned = g.multiply(g.unsqueeze(states[0], [2]), g.constant(self._carry))
        heard = g.multiply(g.unsqueeze(audio, [2]), g.constant(self._taps))
        h = g.flush(g.add(g.sum(turned, [1]), heard))
        energy = g.sum_of_squares(g.slice(h, 2, PLANES, 1), 1)
        return [h, g.add(states[1], g.multiply(energy, is_reading))]

    def finish(self, g: Graph, total: str, inside: Sequence[str]) -> tuple[str, list[str]]:
        mean = g.multiply(total, g.constant(1 / (READINGS_A_FRAME * QUIET)))
        y, gain = self._front.hear(g, mean, g.constant(self._offset), inside[0])
        return y, [gain]


class BlocksSide:
    """Blocks at the rate of the samples, and the sum of a frame's outputs."""

    inside: tuple[State, ...] = ()

    def __init__(self, front: SamplesGraph):
        self._front = front
        self.states = (*front.states, State("total", (front.channels,)))

    def listen(self, g: Graph, audio: str, states: Sequence[str], is_reading: str) -> list[str]:
        y, after = self._front.hear(g, audio, states[:-1], 1)
        return [*after, g.add(states[-1], y)]

    def finish(self, g: Graph, total: str, inside: Sequence[str]) -> tuple[str, list[str]]:
        return g.multiply(total, g.constant(1 / self._front.hop)), []


def sample_unit(model: ModelGraph, g: Graph) -> Unit:
    """One call consumes one sample; `g` is an empty graph.

    Raises:
        ValueError: frames at this rate differ, and the model has no filterbank.
    """
    rate, classes = model.sample_rate_hz, len(model.labels)
    side: AudioSide
    if isinstance(model.front, FilterbankGraph):
        assert model.modes is not None
        side = BankSide(model.front, model.modes, rate)
    elif rate % FRAMES_HZ == 0:
        side = BlocksSide(model.front)
    else:
        raise ValueError(f"{FRAMES_HZ} does not divide {rate} Hz, as this model needs")
    inside = [*side.inside, *model.memory]
    starts = [np.full(state.shape, state.fill, np.float32).ravel() for state in inside]
    start = np.concatenate(starts)
    memory = State("memory", start.shape, start)

    audio = g.input("audio", (BATCH, 1))
    tensors = declare(g, [*side.states, memory, State("latest", (1, classes), 1 / classes)])
    *now, kept, latest = (tensor.input for tensor in tensors)
    counter = g.input("counter", (1,), np.int64)
    step, turn, whole = (
        g.constant(np.array([n])) for n in (READINGS_HZ, rate, READINGS_A_FRAME * rate)
    )
    count = g.remainder(g.subtract(counter, step), whole)
    ready = g.less(count, step)
    is_reading = g.as_float(g.less(g.remainder(count, turn), step))
    *now, total = side.listen(g, audio, now, is_reading)

    ends = g.body()
    states = _split(ends, kept, inside)
    y, after = side.finish(ends, total, states[: len(side.inside)])
    logits, memories = model.decide(ends, y, states[len(side.inside) :], 1)
    joined = ends.concat([ends.flat(part) for part in (*after, *memories)], axis=1)
    goes_on = g.body()
    for body, values in (
        (ends, (ends.multiply(total, ends.constant(0.0)), joined, ends.softmax(logits))),
        (goes_on, (total, kept, latest)),
    ):
        for tensor, value in zip(tensors[-3:], values, strict=True):
            body.output(value, body.name(tensor.input), tensor.shape)
    total, kept, scores = g.choose(ready, ends, goes_on)

    g.output(scores, "scores", (BATCH, 1, classes))
    g.output(ready, "ready", (1,), np.bool_)
    give(g, tensors[:-1], [*now, total, kept])
    g.output(count, "counter_next", (1,), np.int64)
    shown = tensors[-1]._replace(output="scores")
    shared = StateTensor("counter", "counter_next", (1,), "int64", 0)
    return Unit(g, [*tensors[:-1], shown, shared])


def _split(g: Graph, memory: str, states: Sequence[State]) -> list[str]:
    parts = g.split(memory, [math.prod(state.shape) for state in states], axis=1)
    return [
        g.reshape(part, (-1, *state.shape)) if len(state.shape) > 1 else part
        for part, state in zip(parts, states, strict=True)
    ]
