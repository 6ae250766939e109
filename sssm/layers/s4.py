"""S4: a diagonal-plus-low-rank state-space model in every channel.

The file follows the paper: the parameters (theorem 1), the kernel (Algorithm 1), the recurrence
(theorem 2).  HiPPO is never diagonalised, not even its powers: see `sssm.math.nplr`.

The parallel form is Algorithm 1 in time instead of frequency, so that it has a state.  In

    h_t = poles h_(t-1) + dB x_t - Q s_t,   s_t = R^* h_(t-1)

the low rank is a second input, s, of a diagonal model.  Let r be what s would be if Q were zero:
the diagonal model's answer to x and to the first state alone.  With sequences as power series in
omega, the delay by one element, what s adds to itself is the diagonal model's answer to -Q s:

    s = r - g s,   g = omega R^* (1 - omega poles)^-1 Q,   so   s = r / (1 + g),

which is Woodbury's identity.  All series are made without a matrix of N x N numbers, and the last
state is that of the diagonal model after x and s.

Source: Gu et al. 2021, "Efficiently Modeling Long Sequences with Structured State Spaces",
arXiv:2111.00396.
"""

import math
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sssm.layers.contract import StreamingLayer, check_element, derived
from sssm.math.dplr import (
    DiscreteDPLR,
    bilinear_dplr,
    dense_dplr,
    pair_sum,
    row_to_complex,
)
from sssm.math.krylov import power, squarings
from sssm.math.nplr import dplr_legs
from sssm.ops.cauchy import cauchy
from sssm.ops.diagonal_ssm import diagonal_ssm
from sssm.ops.flush import flush
from sssm.ops.long_conv import long_conv
from sssm.ops.series_reciprocal import series_reciprocal
from sssm.ops.vandermonde import vandermonde

BLOCK_NUMBERS = {"cpu": 1 << 16, "cuda": 1 << 22}
"""Coefficients and modes of the channels worked on at a time: what a cache, or a GPU, holds."""

NOISE = 1e-14
"""Rounding error of a Fourier transform in float64, as a share of its largest number."""


class S4State(NamedTuple):
    """What an `S4` remembers."""

    h: Tensor  # (batch, H, N / 2) complex, one of each conjugate pair


class S4(StreamingLayer[S4State]):
    """y = S4(x), channel by channel: h' = (Lambda - P P^*) h + B x, y = 2 Re C h + D x.

    Re(Lambda) < 0 by construction, and -P P^* (section 3.4 of the paper) only adds to the decay.
    The rule is bilinear.

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
        """K[h, l] = C dA^l dB, (H, length) in float64, by Algorithm 1; `forward` does without."""
        system = self.discrete()
        if length == 0:
            return system.C.real[:, :0]
        return dplr_kernel(system, squarings(dense_dplr(system)[0], length), length)

    def forward(self, x: Tensor, state: S4State | None = None) -> tuple[Tensor, S4State]:
        h0 = (self.init_state(x.shape[0]) if state is None else state).h
        x, length = x.to(self.D.dtype), x.shape[1]
        if length == 0:
            return x.clone(), S4State(h0.clone())
        with torch.autocast(x.device.type, enabled=False):
            system = self.discrete()
            K, s_of_x, s_of_r, loss = series(system, length, x.dtype)
            y, s = long_conv(x, K), long_conv(x, s_of_x).double()
            poles, Q, R, dB, C = system
            h = h0.to(poles.dtype)
            if state is not None:  # from silence y and s are those of x alone
                silence = torch.zeros_like(s)
                r, _ = diagonal_ssm(silence, poles, dB, R, h)
                r = torch.cat([pair_sum(R * h)[:, None, :, 0], r[:, :-1]], dim=1)
                y_left, _ = diagonal_ssm(silence, poles, dB, C, h)
                s_left = resolved(long_conv(r, s_of_r))
                y = y + resolved(y_left - long_conv(s_left, loss)).to(y.dtype)
                s = s + s_left
            _, h_of_x = diagonal_ssm(x.double(), poles, dB, C, h)
            _, h_of_s = diagonal_ssm(s, poles, -Q, C, torch.zeros_like(h))
            return y + self.D * x, S4State(flush(h_of_x + h_of_s).to(h0.dtype))

    def step(self, x: Tensor, state: S4State) -> tuple[Tensor, S4State]:
        check_element(x, state.h.shape[:2])
        x = x.to(self.D.dtype)
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


class Series(NamedTuple):
    """Power series of a system, coefficients of omega^0 to omega^(L - 1): (H, L) each."""

    K: Tensor  # from x to y: the kernel
    s_of_x: Tensor
    s_of_r: Tensor  # 1 / (1 + g), in float64
    loss: Tensor  # C (1 - omega poles)^-1 Q: from s to what y loses to it, in float64


def series(system: DiscreteDPLR, length: int, dtype: torch.dtype) -> Series:
    """The series of a system.

    Some channels at a time, and made again for the gradients, so that memory holds little more
    than the result.

    Args:
        system: (H, N / 2) vectors, complex128.
        length: L, at least 1.
        dtype: of K and s_of_x.
    """
    modes = system.poles.shape[1]
    numbers = BLOCK_NUMBERS.get(system.poles.device.type, BLOCK_NUMBERS["cpu"])
    channels = max(1, numbers // (length + modes))
    parts = [
        checkpoint(_series, length, dtype, *part, use_reentrant=False, preserve_rng_state=False)
        for part in zip(*(vector.split(channels) for vector in system), strict=True)
    ]
    return Series(*(torch.cat(of_channels) for of_channels in zip(*parts, strict=True)))


def _series(
    length: int, dtype: torch.dtype, poles: Tensor, Q: Tensor, R: Tensor, dB: Tensor, C: Tensor
) -> Series:
    products = torch.cat([C * dB, C * Q, R * dB, R * Q])
    CB, CQ, RB, RQ = vandermonde(products, poles.repeat(4, 1), length).chunk(4)
    one = torch.ones_like(RQ[:, :1])
    s_of_r = series_reciprocal(torch.cat([one, RQ[:, :-1]], dim=1))
    s_of_x = _product(s_of_r, F.pad(RB[:, :-1], (1, 0)))
    K = CB - _product(CQ, s_of_x)
    return Series(K.to(dtype), s_of_x.to(dtype), s_of_r, loss=CQ)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Of power series (H, L), cut off after L terms: their coefficients' convolution."""
    return long_conv(a.T[None], b)[0].T


def resolved(y: Tensor) -> Tensor:
    """`y` (batch, length, H) in float64 with 0 for what is below a Fourier transform's noise.

    So the answer to a first state decays to exact silence here too.
    """
    return torch.where(y.abs() < NOISE * y.abs().amax(dim=1, keepdim=True), 0, y)


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
