"""Residual block: norm, state-space model, activation, gated mix of the channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sssm.layers.contract import StateT, StreamingLayer

NORM_EPS = 1e-5


class Block(StreamingLayer[StateT]):
    """x + dropout(glu(W silu(ssm(norm(x))))): its state is that of its state-space model.

    Source: Gu et al. 2021, arXiv:2111.00396, appendix D (block of S4), here with RMS norm and SiLU
    and a gated mix.

    Args:
        ssm: what mixes over time, (batch, length, H) -> (batch, length, H).
        channels: H.
        dropout: probability that a channel is dropped, for a whole sequence at once.
    """

    def __init__(self, ssm: StreamingLayer[StateT], *, channels: int, dropout: float):
        super().__init__()
        self.ssm = ssm
        self.mix = nn.Linear(channels, 2 * channels)
        self.dropout = dropout

    def init_state(self, batch: int) -> StateT:
        return self.ssm.init_state(batch)

    def forward(self, x: Tensor, state: StateT | None = None) -> tuple[Tensor, StateT]:
        x = x.to(self.mix.weight.dtype)
        y, state = self.ssm(normalize(x), state)
        y = self._mix(y)
        return x + (drop_channels(y, self.dropout) if self.training else y), state

    def step(self, x: Tensor, state: StateT) -> tuple[Tensor, StateT]:
        x = x.to(self.mix.weight.dtype)
        y, state = self.ssm.step(normalize(x), state)
        return x + self._mix(y), state

    def settle(self, x: Tensor) -> tuple[Tensor, StateT]:
        y, state = self.ssm.settle(normalize(x))
        return x + self._mix(y), state

    def _mix(self, y: Tensor) -> Tensor:
        return F.glu(self.mix(F.silu(y)), dim=-1)


def drop_channels(y: Tensor, probability: float) -> Tensor:
    """Dropout of whole channels of (batch, length, H): the same ones at every element."""
    return y * F.dropout(torch.ones_like(y[:, :1]), probability) if probability > 0 else y


def normalize(x: Tensor) -> Tensor:
    """RMS norm over the channels, without weights: what follows has weights of its own.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
    """
    return F.rms_norm(x, x.shape[-1:], eps=NORM_EPS)
