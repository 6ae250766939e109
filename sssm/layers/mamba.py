"""Mamba: a state-space model that chooses, element by element, what to keep and what to ignore.

Source: Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
arXiv:2312.00752, section 3 and figure 3.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sssm.layers.block import drop_channels, normalize
from sssm.layers.contract import StreamingLayer, derived
from sssm.math.s4d import s4d_real
from sssm.ops.causal_conv import causal_conv, causal_conv_step
from sssm.ops.selective_scan import selective_scan
from sssm.ops.state_update import state_update

WIDTH = 4
"""Elements that the convolution sees, the newest among them."""

EXPAND = 2
"""Inner channels for each outer one, as in the paper."""


class MambaState(NamedTuple):
    """What a `Mamba` remembers."""

    tail: Tensor  # (batch, WIDTH - 1, D) last inputs of the convolution, the oldest first
    h: Tensor  # (batch, D, N) the state of the selective model


class Mamba(StreamingLayer[MambaState]):
    """y = leave(SSM(v) SiLU(z)), where u, z = enter(x) and v = SiLU(conv(u)).

    v chooses dt, B and C of the SSM too, which is the paper's with one bound.  As dt goes to 0 the
    paper's state lasts for ever; here the log of every state also loses `leak` with each element,

        h_t = exp(dt A - leak) h_(t-1) + dt B v_t,

    so that no state outlasts `slowest`, and it is still dt alone that decides how much comes in.

    Args:
        channels: H, of the input and the output.
        state_size: N, states of each inner channel.
        expand: inner channels D for each of H.
        dt_min, dt_max: range in which the steps start, uniform in their logarithm.  An element
            moves a channel's own time, whose unit is that of A, by its step.
        slowest: no state remembers longer than this time constant, in elements.
    """

    def __init__(
        self,
        *,
        channels: int,
        state_size: int,
        expand: int = EXPAND,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        slowest: float = math.inf,
    ):
        super().__init__()
        D, rank = expand * channels, rank_of(channels)
        self.leak = 1 / slowest
        self.enter = nn.Linear(channels, 2 * D, bias=False)
        self.conv = nn.Conv1d(D, D, WIDTH, groups=D)
        self.select = nn.Linear(D, rank + 2 * state_size, bias=False)
        self.step_size = nn.Linear(rank, D)
        A = s4d_real(state_size).real.to(torch.get_default_dtype())
        self.log_decay = nn.Parameter((-A).log().repeat(D, 1))
        self.D = nn.Parameter(torch.ones(D))
        self.leave = nn.Linear(D, channels, bias=False)
        dt = torch.empty(D).uniform_(math.log(dt_min), math.log(dt_max)).exp()
        nn.init.uniform_(self.step_size.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.step_size.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of it is dt

    def init_state(self, batch: int) -> MambaState:
        channels, N = self.log_decay.shape
        return MambaState(
            self.D.new_zeros(batch, WIDTH - 1, channels), self.D.new_zeros(batch, channels, N)
        )

    def forward(self, x: Tensor, state: MambaState | None = None) -> tuple[Tensor, MambaState]:
        state = self.init_state(x.shape[0]) if state is None else state
        u, z = self._enter(x)
        u, tail = causal_conv(u, *self._filter(), state.tail)
        v = F.silu(u)
        dt, B, C = self._select(v)
        y, h = selective_scan(v, dt, self._decay(), B, C, self.D, z, state.h, leak=self.leak)
        return self.leave(y).to(y.dtype), MambaState(tail, h)

    def step(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        u, z = self._enter(x)
        u, tail = causal_conv_step(u, *self._filter(), state.tail)
        v = F.silu(u)
        dt, B, C = self._select(v)
        y, h = state_update(v, dt, self._decay(), B, C, self.D, z, state.h, leak=self.leak)
        return self.leave(y).to(y.dtype), MambaState(tail, h)

    def settle(self, x: Tensor) -> tuple[Tensor, MambaState]:
        u, _ = self._enter(x)
        weight, bias = self._filter()
        v = F.silu(weight.sum(dim=1) * u + bias)
        dt, B, _ = self._select(v)
        goes = -torch.expm1(dt[..., None] * self._decay() - self.leak)
        h = (dt * v)[..., None] * B[..., None, :] / goes
        tail = u[:, None].repeat(1, WIDTH - 1, 1)
        return self.step(x, MambaState(tail, h))

    def _enter(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Input of the convolution, and the gate, (..., D) each, exact in mixed precision too."""
        u, z = self.enter(x.to(self.D.dtype)).to(self.D.dtype).chunk(2, dim=-1)
        return u, z

    def _filter(self) -> tuple[Tensor, Tensor]:
        """Weights (D, WIDTH) and bias (D,) of the convolution."""
        bias: Any = self.conv.bias  # a tensor here, which its type does not say
        return self.conv.weight[:, 0], bias

    def _select(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step (..., D), B and C (..., N), chosen by the input: algorithm 2, lines 2 to 4."""
        rank, N = self.step_size.in_features, self.log_decay.shape[1]
        low, B, C = self.select(v).split([rank, N, N], dim=-1)
        dt = F.softplus(self.step_size(low).to(v.dtype))
        return dt, B.to(v.dtype), C.to(v.dtype)

    @derived
    def _decay(self) -> Tensor:
        """A, the same for all elements: S4D-Real, section 3.6 of the paper."""
        return -self.log_decay.exp()


def rank_of(channels: int) -> int:
    """Numbers that make the D steps of an element: ceil(H / 16), as in the paper's code."""
    return math.ceil(channels / 16)


class MambaBlock(StreamingLayer[MambaState]):
    """x + dropout(mamba(norm(x))): Mamba has a gate and a mix of its own, so it needs no other.

    Args:
        mamba: (batch, length, H) -> (batch, length, H).
        dropout: probability that a channel is dropped, for a whole sequence at once.
    """

    def __init__(self, mamba: Mamba, *, dropout: float):
        super().__init__()
        self.mamba = mamba
        self.dropout = dropout

    def init_state(self, batch: int) -> MambaState:
        return self.mamba.init_state(batch)

    def forward(self, x: Tensor, state: MambaState | None = None) -> tuple[Tensor, MambaState]:
        x = x.to(self.mamba.D.dtype)
        y, state = self.mamba(normalize(x), state)
        return x + (drop_channels(y, self.dropout) if self.training else y), state

    def step(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        x = x.to(self.mamba.D.dtype)
        y, state = self.mamba.step(normalize(x), state)
        return x + y, state

    def settle(self, x: Tensor) -> tuple[Tensor, MambaState]:
        y, state = self.mamba.settle(normalize(x))
        return x + y, state
