"""What every part of an exported model offers, and the parts that all models have.

A part hears `count` elements of every row at once; any count gives the same numbers.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sssm.layers.arrays import Array
from sssm.onnx.graph import Graph
from sssm.onnx.recurrence import Recurrence, leaky
from sssm.onnx.state import State


class Part(Protocol):
    """A block, several, or what follows them.  States are given and returned in its own order."""

    @property
    def states(self) -> Sequence[State]:
        """What it remembers."""

    def hear(self, g: Graph, y: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        """(batch count, H) -> the same, elements of a row side by side, and the next states."""


def in_turn(
    g: Graph, parts: Sequence[Part], y: str, states: Sequence[str], count: int
) -> tuple[str, list[str]]:
    """As `Part.hear` of one part, for several of which each hears the one before."""
    after: list[str] = []
    for part in parts:
        first = len(after)
        y, new = part.hear(g, y, states[first : first + len(part.states)], count)
        after += new
    return y, after


class Mix:
    """y + glu(W silu(v)): what a block does after its state-space model.

    Args:
        weight, bias: (H, 2H) and (2H,).
    """

    def __init__(self, weight: Array, bias: Array):
        halves = slice(len(weight)), slice(len(weight), None)
        self._value, self._gate = (
            (np.ascontiguousarray(weight[:, half]), bias[half]) for half in halves
        )

    def add(self, g: Graph, y: str, v: str) -> str:
        """Two maps, of values and of gates: to split one's result costs more."""
        v = g.silu(v)
        (weight, bias), (gate_weight, gate_bias) = self._value, self._gate
        value = g.linear(v, g.weight(weight), g.constant(bias))
        gate = g.sigmoid(g.linear(v, g.weight(gate_weight), g.constant(gate_bias)))
        return g.add(y, g.multiply(value, gate))


class Block:
    """y + glu(W silu(ssm(norm(y)))), see `sssm.layers.block`."""

    def __init__(self, ssm: Part | Recurrence, mix: Mix, channels: int):
        self.states = ssm.states
        self._ssm, self._mix = ssm, mix
        self._ones = np.ones(channels, np.float32)

    def hear(self, g: Graph, y: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        v, after = self._ssm.hear(g, g.normalize(y, self._ones), states, count)
        return self._mix.add(g, y, v), after


class Pool:
    """Norm and leaky mean, see `sssm.layers.leaky`."""

    def __init__(self, decay: Array, settled: Array):
        self._decay = decay
        self.states = (State("pool", decay.shape, settled),)

    def hear(self, g: Graph, y: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        H = len(self._decay)
        if count == 1:
            new = g.normalize(y, 1 - self._decay)
            mean = g.add(g.multiply(states[0], g.constant(self._decay)), new)
            return mean, [mean]
        u = g.normalize(y, np.ones(H, np.float32))
        before = g.unsqueeze(states[0], [1])
        r, (mean,) = leaky("pool", self._decay).hear(g, u, [before], count)
        return r, [g.reshape(mean, (-1, H))]
