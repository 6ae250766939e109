"""A block of Mamba in real arithmetic, see `sssm.layers.mamba`.

States are (batch, 3, D), the last inputs of the convolution, and (batch, N, D): channels last, so
that what all states share is one row.  No state is flushed: the block hears no exact silence.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sssm.layers.arrays import Array
from sssm.onnx.graph import Graph
from sssm.onnx.state import State


class MambaWeights(NamedTuple):
    """Numbers of a `sssm.layers.mamba.Mamba`, matrices (in, out)."""

    enter: Array  # (H, 2D)
    conv: Array  # (4, D), the newest input last
    conv_bias: Array  # (D,)
    select: Array  # (D, rank + 2N)
    step_size: Array  # (rank, D)
    step_bias: Array  # (D,)
    A: Array  # (N, D) negative
    D: Array  # (D,)
    leave: Array  # (D, H)
    leak: float
    tail: Array  # (3, D), where the states start
    h: Array  # (N, D)


class MambaGraph:
    """x + mamba(norm(x)); `name` begins the names of its states."""

    def __init__(self, name: str, weights: MambaWeights):
        self._weights = weights
        width, D = weights.conv.shape
        N = len(weights.A)
        self.states = (
            State(f"{name}_tail", (width - 1, D), weights.tail),
            State(f"{name}_h", (N, D), weights.h),
        )

    def hear(self, g: Graph, y: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        w, (tail, h) = self._weights, states
        N, D = w.A.shape
        u = g.normalize(y, np.ones(len(w.enter), np.float32))
        x, z = (
            g.matmul(u, g.weight(np.ascontiguousarray(w.enter[:, half])))
            for half in (slice(D), slice(D, None))
        )
        x, tail = self._convolve(g, x, tail, count)
        chosen = g.matmul(x, g.constant(w.select))
        low, B, C = g.split(chosen, [len(w.step_size), N, N], axis=1)
        dt = g.softplus(g.linear(low, g.constant(w.step_size), g.constant(w.step_bias)))
        loses = g.multiply(g.reshape(dt, (-1, count, 1, D)), g.constant(w.A))
        dA = g.exp(g.subtract(loses, g.constant(float(w.leak))))  # (batch, count, N, D)
        heard = g.reshape(g.multiply(dt, x), (-1, count, 1, D))
        dBx = g.matmul(g.reshape(B, (-1, count, N, 1)), heard)
        all_h, h = _walk(g, dA, dBx, g.unsqueeze(h, [1]), count)
        out = g.reshape(g.matmul(g.reshape(C, (-1, count, 1, N)), all_h), (-1, D))
        out = g.add(out, g.multiply(x, g.constant(w.D)))
        out = g.matmul(g.multiply(out, g.silu(z)), g.weight(w.leave))
        return g.add(y, out), [tail, g.reshape(h, (-1, N, D))]

    def _convolve(self, g: Graph, x: str, tail: str, count: int) -> tuple[str, str]:
        """SiLU of the convolution (batch count, D), and the last inputs."""
        w = self._weights
        width, D = w.conv.shape
        window = g.concat([tail, g.reshape(x, (-1, count, D))], axis=1)
        if count == 1:
            sums = g.sum(g.multiply(window, g.constant(w.conv)), [1])
        else:
            taps = [
                g.multiply(g.slice(window, k, k + count, 1), g.constant(w.conv[k]))
                for k in range(width)
            ]
            sums = taps[0]
            for tap in taps[1:]:
                sums = g.add(sums, tap)
            sums = g.reshape(sums, (-1, D))
        tail = g.slice(window, count, count + width - 1, 1)
        return g.silu(g.add(sums, g.constant(w.conv_bias))), tail


def _walk(g: Graph, dA: str, dBx: str, h: str, count: int) -> tuple[str, str]:
    """States after h = dA h + dBx, one by one: all (batch, count, N, D), and the last."""
    if count == 1:
        h = g.add(g.multiply(dA, h), dBx)
        return h, h
    states = []
    steps = (g.split(part, [1] * count, axis=1) for part in (dA, dBx))
    for keep, added in zip(*steps, strict=True):
        h = g.add(g.multiply(keep, h), added)
        states.append(h)
    return g.concat(states, axis=1), h
