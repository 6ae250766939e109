"""Blocks at the full rate of the samples, read each 10 ms: the front of the paper's own model.

Source: Gu et al. 2021, arXiv:2111.00396, section 4.2 and appendix D (six layers on raw speech).
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from sssm.layers.block import Block
from sssm.layers.contract import StreamingLayer, check_element
from sssm.timing import frame_end, frames_within


class SampleFrontState(NamedTuple):
    """What a `SampleFront` remembers."""

    blocks: tuple[Any, ...]  # the state of each block
    total: Tensor  # (batch, H) sum over the samples of the unfinished frame
    samples: Tensor  # () int64 heard so far, the same for all rows


class SampleFront(StreamingLayer[SampleFrontState]):
    """(batch, samples, 1) -> (batch, frames, H): a frame is the mean of its 10 ms of samples.

    Frame n = 1, 2, ... ends at sample floor(n rate / 100).

    Args:
        make_ssm: a new state-space model that has `at_rate`.
        depth: blocks.
        channels: H.
        dropout: of the blocks.
        sample_rate_hz: of the audio.
    """

    def __init__(
        self,
        make_ssm: Callable[[], StreamingLayer[Any]],
        *,
        depth: int,
        channels: int,
        dropout: float,
        sample_rate_hz: int,
    ):
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.lift = nn.Linear(1, channels)
        self.blocks: Any = nn.ModuleList(  # of Block, which its type does not say
            Block(make_ssm(), channels=channels, dropout=dropout) for _ in range(depth)
        )

    def at_rate(self, sample_rate_hz: int) -> Self:
        """The same weights listening at another rate: dt of every block is what changes."""
        other = self._clone()
        other.sample_rate_hz = sample_rate_hz
        blocks = nn.ModuleList()
        for block in self.blocks:
            clone = block._clone()
            clone._modules = block._modules | {"ssm": block.ssm.at_rate(sample_rate_hz)}
            blocks.append(clone)
        other._modules = self._modules | {"blocks": blocks}
        return other

    def init_state(self, batch: int) -> SampleFrontState:
        weight = self.lift.weight
        return SampleFrontState(
            tuple(block.init_state(batch) for block in self.blocks),
            weight.new_zeros(batch, self.channels),
            torch.zeros((), dtype=torch.int64, device=weight.device),
        )

    def forward(
        self,
        x: Tensor,
        state: SampleFrontState | None = None,
        bandwidth_hz: Tensor | None = None,
    ) -> tuple[Tensor, SampleFrontState]:
        """As the contract; `bandwidth_hz` changes nothing here: there are no bands to leave out."""
        # From silence None, not its state: S4 has then less to do.
        befores = [None] * len(self.blocks) if state is None else state.blocks
        state = self.init_state(x.shape[0]) if state is None else state
        y, blocks = self.lift(x.to(self.lift.weight.dtype)), []
        for block, before in zip(self.blocks, befores, strict=True):
            y, after = block(y, before)
            blocks.append(after)
        frames, total = self._frames(y, state)
        samples = torch.full_like(state.samples, int(state.samples) + x.shape[1])
        return frames, SampleFrontState(tuple(blocks), total, samples)

    def step(self, x: Tensor, state: SampleFrontState) -> tuple[Tensor, SampleFrontState]:
        """(batch, 1) -> (batch, frames, H) with frames 0 or 1, and the next state.

        Raises:
            ValueError: x is not one sample of every row of the state.
        """
        check_element(x, (state.total.shape[0], 1), "1")
        y, blocks = self.lift(x.to(self.lift.weight.dtype)), []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            y, after = block.step(y, before)
            blocks.append(after)
        frames, total = self._frames(y[:, None], state)
        return frames, SampleFrontState(tuple(blocks), total, state.samples + 1)

    def _frames(self, y: Tensor, state: SampleFrontState) -> tuple[Tensor, Tensor]:
        """Means over the frames that end here, and the sum of what is left."""
        y = y.to(state.total.dtype)  # sums stay exact under mixed precision
        before = int(state.samples)
        rate = self.sample_rate_hz
        first, last = frames_within(before, rate), frames_within(before + y.shape[1], rate)
        ends = [frame_end(n, rate) - before for n in range(first + 1, last + 1)]
        edges = [0, *ends, y.shape[1]]
        pieces = y.split([b - a for a, b in itertools.pairwise(edges)], dim=1)
        sums = [piece.sum(dim=1) for piece in pieces]
        sums[0] = sums[0] + state.total
        if not ends:
            return y.new_zeros(y.shape[0], 0, self.channels), sums[0]
        sizes = [frame_end(n, rate) - frame_end(n - 1, rate) for n in range(first + 1, last + 1)]
        means = [total / size for total, size in zip(sums[:-1], sizes, strict=True)]
        return torch.stack(means, dim=1), sums[-1]
