"""Blocks at the rate of the samples, see `sssm.layers.sample_front`."""

from collections.abc import Sequence

from sssm.layers.arrays import Array
from sssm.onnx.graph import Graph
from sssm.onnx.parts import Part, in_turn
from sssm.timing import FRAMES_HZ


class SamplesGraph:
    """The front of a model that has no filterbank.

    Args:
        blocks: at the rate of the samples.
        weight, bias: (1, H) and (H,) of the map from a sample.
        sample_rate_hz: a multiple of 100, so that frames have equally many samples.
    """

    together = 1  # frames: the blocks hear all samples of one at once

    def __init__(self, blocks: Sequence[Part], weight: Array, bias: Array, sample_rate_hz: int):
        self.blocks = blocks
        self.states = [state for block in blocks for state in block.states]
        self.hop = self.width = sample_rate_hz // FRAMES_HZ
        self.channels = len(bias)
        self._lift = weight, bias

    def frames(
        self, g: Graph, audio: str, states: Sequence[str], count: int
    ) -> tuple[str, list[str]]:
        """(batch, samples) of `count` frames -> their means (batch count, H), next states."""
        y, after = self.hear(g, audio, states, count * self.hop)
        y = g.reshape(y, (-1, self.hop, self.channels))
        means = g.multiply(g.sum(y, [1]), g.constant(1 / self.hop))
        return means, after

    def hear(
        self, g: Graph, audio: str, states: Sequence[str], samples: int
    ) -> tuple[str, list[str]]:
        """(batch, samples) -> (batch samples, H), and the next states."""
        y = g.linear(g.reshape(audio, (-1, 1)), *(g.constant(part) for part in self._lift))
        return in_turn(g, self.blocks, y, states, samples)
