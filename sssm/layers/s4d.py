"""S4D: a diagonal state-space model in every channel.

Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space
Models", arXiv:2206.11893, section 4 (S4D-Lin).
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from sssm.layers.contract import StreamingLayer, check_element, derived
from sssm.math.discretize import zoh_diagonal
from sssm.math.s4d import s4d_lin
from sssm.ops.diagonal_ssm import diagonal_ssm, diagonal_ssm_step
from sssm.ops.flush import flush


class S4DState(NamedTuple):
    """What an `S4D` remembers."""

    h: Tensor  # (batch, H, N) complex, the state of every mode


class S4D(StreamingLayer[S4DState]):
    """y = S4D(x), channel by channel: h' = A h + x, y = 2 Re C h + D x, held for dt.

    Re(A) < 0 by construction.  A mode whose phase turns by more than pi in dt has no meaning at
    this rate and is silent.

    Args:
        channels: H, one model each.
        state_size: N, modes of each model, one of each conjugate pair.
        sample_rate_hz: elements a second.
        dt_min, dt_max: range in which log dt starts.  At this rate one element moves a channel's
            own time by dt; A is in units of that time.
        slowest_s: no mode remembers longer than this time constant, in seconds.
    """

    def __init__(
        self,
        *,
        channels: int,
        state_size: int,
        sample_rate_hz: float,
        dt_min: float,
        dt_max: float,
        slowest_s: float = math.inf,
    ):
        super().__init__()
        self.sample_rate_hz = self.trained_at_hz = sample_rate_hz
        self.slowest_s = slowest_s
        A = s4d_lin(state_size).repeat(channels, 1)
        self.log_decay = nn.Parameter((-A.real).to(torch.get_default_dtype()).log())
        self.frequency = nn.Parameter(A.imag.to(torch.get_default_dtype()).clone())
        self.C = nn.Parameter(torch.randn(channels, state_size, 2) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(channels))
        log_dt = torch.empty(channels).uniform_(math.log(dt_min), math.log(dt_max))
        self.log_dt = nn.Parameter(log_dt)

    def at_rate(self, sample_rate_hz: float) -> Self:
        """The same weights, shared, for `sample_rate_hz` elements a second: only dt changes."""
        other = self._clone()
        other.sample_rate_hz = sample_rate_hz
        return other

    def init_state(self, batch: int) -> S4DState:
        channels, N = self.log_decay.shape
        return S4DState(torch.complex(*self.D.new_zeros(2, batch, channels, N)))

    def forward(self, x: Tensor, state: S4DState | None = None) -> tuple[Tensor, S4DState]:
        dA, dB, C = self.discrete()
        state = self.init_state(x.shape[0]) if state is None else state
        x = x.to(self.D.dtype)  # under mixed precision too
        y, h = diagonal_ssm(x, dA, dB, C, state.h)
        return y + self.D * x, S4DState(h)

    def step(self, x: Tensor, state: S4DState) -> tuple[Tensor, S4DState]:
        check_element(x, state.h.shape[:2])
        dA, dB, C = self.discrete()
        x = x.to(self.D.dtype)
        y, h = diagonal_ssm_step(x, dA, dB, C, state.h)
        return y + self.D * x, S4DState(flush(h))

    def settle(self, x: Tensor) -> tuple[Tensor, S4DState]:
        dA, dB, _ = self.discrete()
        return self.step(x, S4DState(dB / (1 - dA) * x.to(self.D.dtype)[..., None]))

    @derived
    def discrete(self) -> tuple[Tensor, Tensor, Tensor]:
        """Zero-order hold of (A, 1), and C without the modes that turn too fast."""
        dt = self.log_dt.exp()[:, None] * (self.trained_at_hz / self.sample_rate_hz)
        least = 1 / (self.slowest_s * self.sample_rate_hz)  # decay an element; 0 without a bound
        decay = self.log_decay.exp() + least / dt
        A = torch.complex(-decay, self.frequency)
        dA, dB = zoh_diagonal(A, torch.ones_like(A), dt)
        heard = (self.frequency * dt).abs() <= math.pi
        return dA, dB, torch.view_as_complex(self.C) * heard
