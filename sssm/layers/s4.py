"""S4: a diagonal-plus-low-rank state-space model in every channel.

The file follows the paper: the parameters (theorem 1), the kernel (Algorithm 1), the recurrence
(theorem 2).  HiPPO is never diagonalised, not even its powers: see `sssm.math.nplr`.

Source: Gu et al. 2021, "Efficiently Modeling Long Sequences with Structured State Spaces",
arXiv:2111.00396.
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from sssm.layers.blockwise import block_length, blockwise
from sssm.layers.contract import StreamingLayer, derived
from sssm.math.dplr import (
    DiscreteDPLR,
    bilinear_dplr,
    dense_dplr,
    pair_sum,
    row_to_complex,
    to_complex,
    to_real,
)
from sssm.math.krylov import power, squarings
from sssm.math.nplr import dplr_legs
from sssm.ops.cauchy import cauchy
from sssm.ops.flush import flush


class S4State(NamedTuple):
    """What an `S4` remembers."""

    h: Tensor  # (batch, H, N / 2) complex, one of each conjugate pair


class S4(StreamingLayer[S4State]):
    """y = S4(x), channel by channel: h' = (Lambda - P P^*) h + B x, y = 2 Re C h + D x.

    Re(Lambda) < 0 by construction, and -P P^* only adds to the decay.  The rule is bilinear.

    Args:
        channels: H, one model each.
        state_size: N, states of each model; half of them are stored, so N is even.
        sample_rate_hz: elements a second.
        dt_min, dt_max: range in which log dt starts.  One element moves a channel's own time, whose
            unit is that of A, by dt: it hears about 1 / dt elements back.
    """

    def __init__(
        self,
        *,
        channels: int,
        state_size: int,
        sample_rate_hz: float,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
    ):
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.trained_at_hz = sample_rate_hz
        modes = state_size // 2
        Lambda, P, B, _ = dplr_legs(state_size)

        def parameter(value: Tensor) -> nn.Parameter:
            value = value.to(torch.get_default_dtype())
            return nn.Parameter(value.expand(channels, *value.shape).clone())

        self.log_decay = parameter((-Lambda[:modes].real).log())
        self.frequency = parameter(Lambda[:modes].imag)
        self.P = parameter(torch.view_as_real(P[:modes, 0]))
        self.B = parameter(torch.view_as_real(B[:modes]))
        self.C = nn.Parameter(torch.randn(channels, modes, 2) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(channels))
        self.log_dt = nn.Parameter(
            torch.empty(channels).uniform_(math.log(dt_min), math.log(dt_max))
        )

    def at_rate(self, sample_rate_hz: float) -> Self:
        """The same weights, shared, for `sample_rate_hz` elements a second: only dt changes."""
        other = self._clone()
        other.sample_rate_hz = sample_rate_hz
        return other

    def init_state(self, batch: int) -> S4State:
        return S4State(torch.complex(*self.D.new_zeros(2, batch, *self.frequency.shape)))

    def kernel(self, length: int) -> Tensor:
        """K[h, l] = C dA^l dB, (H, length) in float64, by Algorithm 1."""
        system = self.discrete()
        return dplr_kernel(system, squarings(dense_dplr(system)[0], length), length)

    def forward(self, x: Tensor, state: S4State | None = None) -> tuple[Tensor, S4State]:
        h = (self.init_state(x.shape[0]) if state is None else state).h
        length = x.shape[1]
        if length == 0:
            return x.clone(), S4State(h.clone())
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.D.dtype)
            size = block_length(length)
            system = self.discrete()
            dA, dB, C = dense_dplr(system)
            squares = squarings(dA, size)
            K = dplr_kernel(system, squares, size).to(x.dtype)
            y, last = blockwise(x, squares, dB, C, K, to_real(h))
            return y + self.D * x, S4State(to_complex(last))

    def step(self, x: Tensor, state: S4State) -> tuple[Tensor, S4State]:
        poles, Q, R, dB, C = (part.to(state.h.dtype) for part in self.discrete())
        h = poles * state.h - Q * pair_sum(R * state.h) + dB * x[..., None]
        h = flush(h)
        return pair_sum(C * h)[..., 0] + self.D * x, S4State(h)

    @derived
    def discrete(self) -> DiscreteDPLR:
        """The system in samples, rounded to the layer's precision: both forms start here."""
        P, B, C = (torch.view_as_complex(part.double()) for part in (self.P, self.B, self.C))
        Lambda = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        dt = self.log_dt.double().exp()[:, None] * (self.trained_at_hz / self.sample_rate_hz)
        system = bilinear_dplr(Lambda, P, B, C, dt)
        rounded = (torch.view_as_real(part).to(self.D.dtype).double() for part in system)
        return DiscreteDPLR(*map(torch.view_as_complex, rounded))


def dplr_kernel(system: DiscreteDPLR, squares: list[Tensor], length: int) -> Tensor:
    """K[h, l] = C dA^l dB for l < length, by Algorithm 1: evaluate its spectrum, and invert.

    With omega a root of unity and z = 1 / omega, G = z / (z - poles) inverts the diagonal part of
    1 - omega dA; Woodbury's identity adds the low rank:

        sum_l K_l omega^l = C~ (1 - omega dA)^-1 dB
                          = C~ G dB - omega (C~ G Q) (R^* G dB) / (1 + omega R^* G Q)

    where C~ = C (1 - dA^length) cuts the sum off.  The poles are discrete, inside the unit circle,
    so that every term is finite at every node, omega = -1 included.

    Args:
        system: (H, N / 2) vectors, complex128.
        squares: squarings of its dense dA (H, N, N) up to `length`.
        length: L, at least 1.

    Returns:
        (H, length) in float64.

    Source: arXiv:2111.00396, Algorithm 1 and appendix C.3, with the bilinear transform applied to
    the poles rather than to the nodes.
    """
    poles, Q, R, dB, _ = system
    _, _, C = dense_dplr(system)
    C_cut = row_to_complex(C - (C[..., None, :] @ power(squares, length))[..., 0, :])
    nodes = torch.arange(length // 2 + 1, dtype=torch.float64, device=poles.device)
    z = torch.polar(torch.ones_like(nodes), 2 * math.pi / length * nodes)
    v = torch.stack([C_cut * dB, C_cut * Q, R * dB, R * Q])
    CB, CQ, RB, RQ = z * cauchy(v, z, poles)
    omega = z.conj()
    return torch.fft.irfft(CB - omega * CQ * RB / (1 + omega * RQ), n=length)
