"""From samples to the scores of words: one causal recurrence, one decision every 10 ms."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from sssm.config import ModelConfig
from sssm.layers.block import Block, normalize
from sssm.layers.clip import ClipAnswer, ClipState
from sssm.layers.contract import StreamingLayer, derived, leaves, with_leaves
from sssm.layers.filterbank import Filterbank, FilterbankState
from sssm.layers.leaky import LeakyMean, LeakyMeanState
from sssm.layers.mamba import Mamba, MambaBlock
from sssm.layers.s4 import S4
from sssm.layers.s4d import S4D
from sssm.layers.sample_front import SampleFront, SampleFrontState
from sssm.timing import FRAMES_HZ, NATIVE_RATES_HZ, whole_rate


class ModelState(NamedTuple):
    """What a `KeywordModel` remembers."""

    front: FilterbankState | SampleFrontState
    blocks: tuple[Any, ...]  # the state of each block
    pool: LeakyMeanState
    clip: ClipState


class KeywordModel(StreamingLayer[ModelState]):
    """Samples (batch, samples, 1) -> logits (batch, frames, classes), one frame each 10 ms.

    Live, softmax of a frame's logits is the decision; a clip's one answer is `clip_logits`.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        H = config.channels
        self.front: Any  # Filterbank or SampleFront
        self.lift: nn.Module
        blocks: Iterable[StreamingLayer[Any]]
        if config.front == "filterbank":
            self.front = Filterbank(bands=config.bands, sample_rate_hz=config.sample_rate_hz)
            self.lift = nn.Linear(config.bands, H)
            blocks = (_block_at_frames(config) for _ in range(config.depth))
        else:
            self.front = _samples_front(config)
            self.lift = nn.Identity()
            blocks = ()
        self.blocks: Any = nn.ModuleList(blocks)  # of layers, which its type does not say
        self.pool = LeakyMean(channels=H, sample_rate_hz=FRAMES_HZ, start_s=0.1)
        self.head = nn.Linear(H, len(config.labels))
        self.clip = ClipAnswer(classes=len(config.labels))

    def at_rate(self, sample_rate_hz: int) -> Self:
        """The same weights listening at another rate, 8,000 to 48,000 Hz; nothing is copied.

        Raises:
            ValueError: the rate is outside of this range, or no whole number.
        """
        rate = whole_rate(sample_rate_hz, NATIVE_RATES_HZ)
        other = self._clone()
        other._modules = self._modules | {"front": self.front.at_rate(rate)}
        return other

    def init_state(self, batch: int) -> ModelState:
        """State of an endless silence, to which all layers at 100 Hz have settled.

        A state of zeros would not be that: a band that hears nothing is not zero, and five blocks
        in a row take seconds to settle on their answer to it.  This silence is heard at the rate of
        the training: at another one other bands are heard, and silence moves the scores at first.
        """
        settled = self._settled()
        rows = [leaf.repeat(batch, *[1] * (leaf.dim() - 1)) for leaf in leaves(settled)]
        blocks, pool = with_leaves(settled, rows)
        return ModelState(self.front.init_state(batch), blocks, pool, self.clip.init_state(batch))

    @derived
    def _settled(self) -> tuple[tuple[Any, ...], LeakyMeanState]:
        """States of one row's blocks and of its pooling."""
        if not isinstance(self.front, Filterbank):
            return (), self.pool.init_state(1)
        with torch.autocast(self.head.weight.device.type, enabled=False):  # as where it is kept
            y, blocks = self.lift(self.front.silence()), []
            for block in self.blocks:
                y, state = block.settle(y)
                blocks.append(state)
            return tuple(blocks), self.pool.settle(normalize(y))[1]

    def forward(self, x: Tensor, state: ModelState | None = None) -> tuple[Tensor, ModelState]:
        logits, _, state = self.features(x, state)
        return logits, state

    def features(
        self, x: Tensor, state: ModelState | None = None, bandwidth_hz: Tensor | None = None
    ) -> tuple[Tensor, Tensor, ModelState]:
        """As `forward`, with the features (batch, frames, H) that the logits are read from.

        `bandwidth_hz` is that of `Filterbank.forward`.
        """
        frames, front = self.front(x, None if state is None else state.front, bandwidth_hz)
        state = self.init_state(x.shape[0]) if state is None else state
        if frames.shape[1] == 0:
            nothing = frames.new_zeros(x.shape[0], 0, self.head.out_features)
            features = frames.new_zeros(x.shape[0], 0, self.head.in_features)
            return nothing, features, ModelState(front, *_copy(state[1:]))
        logits, features, after = self._after_front(frames, front, state)
        return logits, features, self._with_clip(logits, after)

    def decide(self, x: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """As `forward` for a stream, which is no clip: `state.clip` is handed on as it is.

        At least one frame ends in x.
        """
        frames, front = self.front(x, state.front)
        logits, _, state = self._after_front(frames, front, state)
        return logits, state

    def step(self, x: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """(batch, 1) -> (batch, frames, classes) with frames 0 or 1, and the next state."""
        frame, front = self.front.step(x, state.front)
        if frame.shape[1] == 0:
            logits = frame.new_zeros(x.shape[0], 0, self.head.out_features)
            return logits, ModelState(front, *_copy(state[1:]))
        logits, _, after = self._one_frame(frame, front, state)
        return logits, self._with_clip(logits, after)

    def clip_logits(self, state: ModelState) -> Tensor:
        """(batch, classes): the answer for all that was heard since the first state.

        Raises:
            ValueError: less than one frame of 10 ms was heard.
        """
        return self.clip.answer(state.clip)

    def _after_front(
        self, frames: Tensor, front: FilterbankState | SampleFrontState, state: ModelState
    ) -> tuple[Tensor, Tensor, ModelState]:
        if frames.shape[1] == 1 and not self.training:  # live: the steps are cheaper
            return self._one_frame(frames, front, state)
        y, blocks = self.lift(frames).to(frames.dtype), []  # the residual stream stays exact
        for block, before in zip(self.blocks, state.blocks, strict=True):
            y, after = block(y, before)
            blocks.append(after)
        features = normalize(y)
        pooled, pool = self.pool(features, state.pool)
        logits = self.head(pooled).to(pooled.dtype)
        return logits, features, ModelState(front, tuple(blocks), pool, state.clip)

    def _one_frame(
        self, frame: Tensor, front: FilterbankState | SampleFrontState, state: ModelState
    ) -> tuple[Tensor, Tensor, ModelState]:
        """`_after_front` for (batch, 1, K), by the steps of the layers."""
        y, blocks = self.lift(frame[:, 0]).to(frame.dtype), []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            y, after = block.step(y, before)
            blocks.append(after)
        features = normalize(y)
        pooled, pool = self.pool.step(features, state.pool)
        logits = self.head(pooled)[:, None].to(pooled.dtype)
        return logits, features[:, None], ModelState(front, tuple(blocks), pool, state.clip)

    def _with_clip(self, logits: Tensor, state: ModelState) -> ModelState:
        return state._replace(clip=self.clip.listen(logits, state.clip))


def _copy(state: Any) -> Any:
    """The same state in tensors of its own, so that no two states share one."""
    return with_leaves(state, [leaf.clone() for leaf in leaves(state)])


def _block_at_frames(config: ModelConfig) -> StreamingLayer[Any]:
    """Time constants before training of 41 to 194 ms, where none may be longer than 240.

    Mamba's are those of its slowest states.
    """
    if config.layer == "mamba":
        mamba = Mamba(
            channels=config.channels, state_size=config.state_size, dt_min=0.01, dt_max=0.2,
            slowest=config.slowest_s * FRAMES_HZ,
        )  # fmt: skip
        return MambaBlock(mamba, dropout=config.dropout)
    ssm = S4D(
        channels=config.channels, state_size=config.state_size, sample_rate_hz=FRAMES_HZ,
        dt_min=0.02, dt_max=0.4, slowest_s=config.slowest_s,
    )  # fmt: skip
    return Block(ssm, channels=config.channels, dropout=config.dropout)


def _samples_front(config: ModelConfig) -> SampleFront:
    """All blocks at the rate of the samples, dt as in the paper: 1e-3 to 1e-1."""

    def make_ssm() -> StreamingLayer[Any]:
        if config.layer == "s4":
            return S4(
                channels=config.channels, state_size=2 * config.state_size,
                sample_rate_hz=config.sample_rate_hz,
            )  # fmt: skip
        return S4D(
            channels=config.channels, state_size=config.state_size,
            sample_rate_hz=config.sample_rate_hz, dt_min=1e-3, dt_max=1e-1,
        )  # fmt: skip

    return SampleFront(
        make_ssm, depth=config.depth, channels=config.channels, dropout=config.dropout,
        sample_rate_hz=config.sample_rate_hz,
    )  # fmt: skip
