"""LSSL: a dense state-space model in every channel, the layer that S4 makes fast.

It is kept plain: the tests hold S4 to it.

Source: Gu et al. 2021, "Combining Recurrent, Convolutional, and Continuous-time Models with
Linear State-Space Layers", arXiv:2110.13985 (A and B fixed to HiPPO, as in its LSSL-fixed).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sssm.layers.blockwise import block_length, blockwise
from sssm.layers.contract import StreamingLayer, check_element, derived
from sssm.math.discretize import bilinear
from sssm.math.hippo import hippo_legs
from sssm.math.krylov import krylov, squarings
from sssm.ops.flush import flush


class LSSLState(NamedTuple):
    """What an `LSSL` remembers."""

    h: Tensor  # (batch, H, N) real


class LSSL(StreamingLayer[LSSLState]):
    """y = LSSL(x), channel by channel: h' = A h + B x, y = C h + D x, by the bilinear rule.

    A and B are HiPPO-LegS and are not trained, which keeps Re(A) < 0; C, D and dt are.

    Args:
        channels: H, one model each.
        state_size: N, states of each model.
        dt_min, dt_max: range in which log dt starts.  One element moves a channel's own time, whose
            unit is that of A, by dt.
    """

    def __init__(self, *, channels: int, state_size: int, dt_min: float, dt_max: float):
        super().__init__()
        A, B = (part.to(torch.get_default_dtype()) for part in hippo_legs(state_size))
        self.A: Tensor
        self.B: Tensor
        self.register_buffer("A", A)
        self.register_buffer("B", B)
        self.C = nn.Parameter(torch.randn(channels, state_size))
        self.D = nn.Parameter(torch.randn(channels))
        self.log_dt = nn.Parameter(
            torch.empty(channels).uniform_(math.log(dt_min), math.log(dt_max))
        )

    def init_state(self, batch: int) -> LSSLState:
        return LSSLState(self.C.new_zeros(batch, *self.C.shape))

    def kernel(self, length: int) -> Tensor:
        """K[h, l] = C dA^l dB, (H, length) in float64, by Krylov's doubling."""
        dA, dB = (part.double() for part in self.discrete())
        return self._kernel(squarings(dA, length), dB, length)

    def forward(self, x: Tensor, state: LSSLState | None = None) -> tuple[Tensor, LSSLState]:
        h = (self.init_state(x.shape[0]) if state is None else state).h
        x, length = x.to(self.D.dtype), x.shape[1]
        if length == 0:
            return x.clone(), LSSLState(h.clone())
        with torch.autocast(x.device.type, enabled=False):
            size = block_length(length)
            dA, dB = (part.double() for part in self.discrete())
            squares = squarings(dA, size)
            K = self._kernel(squares, dB, size).to(x.dtype)
            y, h = blockwise(x, squares, dB, self.C.double(), K, h)
            return y + self.D * x, LSSLState(h)

    def step(self, x: Tensor, state: LSSLState) -> tuple[Tensor, LSSLState]:
        check_element(x, state.h.shape[:2])
        x = x.to(self.D.dtype)
        dA, dB = self.discrete()
        h = flush((dA * state.h[..., None, :]).sum(-1) + dB * x[..., None])
        return (self.C * h).sum(-1) + self.D * x, LSSLState(h)

    def _kernel(self, squares: list[Tensor], dB: Tensor, length: int) -> Tensor:
        return (self.C.double()[..., None] * krylov(squares, dB, length)).sum(dim=-2)

    @derived
    def discrete(self) -> tuple[Tensor, Tensor]:
        """The pair dA (H, N, N), dB (H, N) in the layer's precision: both forms start here."""
        channels = self.C.shape[0]
        A, B = self.A.double().expand(channels, -1, -1), self.B.double().expand(channels, -1)
        dA, dB = bilinear(A, B, self.log_dt.double().exp())
        return dA.to(self.C.dtype), dB.to(self.C.dtype)
