"""Leaky mean: a state-space model of one real state a channel."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sssm.layers.contract import StreamingLayer, check_element, derived
from sssm.ops.diagonal_ssm import diagonal_ssm
from sssm.ops.flush import flush

SLOWEST_S = 0.24
"""Longest time constant of a mean, in seconds, where nothing else is asked for.

Two seconds of silence forget all that was before: exp(-2 / 0.24) is 0.02%.
"""


class LeakyMeanState(NamedTuple):
    """What a `LeakyMean` remembers."""

    r: Tensor  # (batch, H) the mean so far


class LeakyMean(StreamingLayer[LeakyMeanState]):
    """r_t = a r_(t-1) + (1 - a) x_t, a trained time constant in every channel.

    Args:
        channels: H.
        sample_rate_hz: elements a second.
        start_s: time constant before training, in seconds, below `slowest_s`.
        slowest_s: no channel remembers longer than this time constant, in seconds.
    """

    def __init__(
        self, *, channels: int, sample_rate_hz: float, start_s: float, slowest_s: float = SLOWEST_S
    ):
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.slowest_s = slowest_s
        self.log_rate = nn.Parameter(torch.full((channels,), math.log(1 / start_s - 1 / slowest_s)))

    def init_state(self, batch: int) -> LeakyMeanState:
        return LeakyMeanState(self.log_rate.new_zeros(batch, self.log_rate.shape[0]))

    def forward(
        self, x: Tensor, state: LeakyMeanState | None = None
    ) -> tuple[Tensor, LeakyMeanState]:
        state = self.init_state(x.shape[0]) if state is None else state
        x = x.to(self.log_rate.dtype)  # under mixed precision too
        if x.shape[1] == 1:  # live, frame after frame: the step is cheaper
            y, state = self.step(x[:, 0], state)
            return y[:, None], state
        a = self.decay()[:, None]
        dA, B = torch.complex(a, torch.zeros_like(a)), torch.complex(1 - a, torch.zeros_like(a))
        half = torch.full_like(dA, 0.5)  # y = 2 Re C h
        h0 = torch.complex(state.r, torch.zeros_like(state.r))[..., None]
        y, h = diagonal_ssm(x, dA, B, half, h0)
        return y, LeakyMeanState(h[..., 0].real.clone())

    def step(self, x: Tensor, state: LeakyMeanState) -> tuple[Tensor, LeakyMeanState]:
        check_element(x, state.r.shape)
        a = self.decay()
        r = flush(a * state.r + (1 - a) * x.to(a.dtype))
        return r, LeakyMeanState(r.clone())

    def settle(self, x: Tensor) -> tuple[Tensor, LeakyMeanState]:
        x = x.to(self.log_rate.dtype)
        return x, LeakyMeanState(x.clone())

    @derived
    def decay(self) -> Tensor:
        """(H,) what is left of a mean after one element: a in r_t = a r_(t-1) + (1 - a) x_t."""
        rate = self.log_rate.exp() + 1 / self.slowest_s
        return torch.exp(-rate / self.sample_rate_hz)
