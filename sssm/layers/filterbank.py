"""Filterbank: a diagonal state-space model on the raw samples, read as log energies at 100 Hz.

Every mode is h' = lambda h + b x, lambda = 2 pi (-w / 2 + i f), twice in a row (12 dB an octave),
with centre f and width w in Hz, both trained.  Discretized by a = exp(lambda dt), so that the poles
stay where they are at every rate, and with b = 1 - |a|: unit gain at the mode's own centre at every
rate.  A reading is |h|^2 of the second stage, 400 times a second; a frame is the logarithm of the
mean of four readings, less a part of its own recent mean (automatic gain), scaled and shifted.

Reading m ends at sample floor(m rate / 400), so that rates which 400 does not divide work too.
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from sssm.layers.contract import StreamingLayer, check_element, derived
from sssm.layers.leaky import LeakyMean, LeakyMeanState
from sssm.layers.sums import sums_of
from sssm.ops.filterbank import (
    FilterbankMatrices,
    filterbank_by,
    filterbank_matrices,
    filterbank_step,
)
from sssm.ops.flush import flush
from sssm.timing import (
    FRAMES_HZ,
    QUIET,
    READINGS_A_FRAME,
    READINGS_HZ,
    end_of,
    ended_within,
)

LOWEST_HZ, HIGHEST_HZ = 20.0, 7_800.0  # bounds of a mode's centre
NARROWEST_HZ = 20.0  # bound of a mode's width


class FilterbankState(NamedTuple):
    """What a `Filterbank` remembers."""

    h: Tensor  # (batch, 2, K) complex, both stages of every mode
    energy: Tensor  # (batch, K) sum of the readings of the unfinished frame
    gain: LeakyMeanState  # the recent mean of every band's log energy
    samples: Tensor  # () int64 heard so far, the same for all rows


class Filterbank(StreamingLayer[FilterbankState]):
    """Log energies of K bands, (batch, samples, 1) -> (batch, frames, K), one frame each 10 ms.

    Args:
        bands: K, modes, mel-spaced and about as wide as the ear's before training.
        sample_rate_hz: of the audio, 8,000 to 48,000.
    """

    def __init__(self, *, bands: int, sample_rate_hz: int):
        super().__init__()
        self.sample_rate_hz = self.trained_at_hz = sample_rate_hz
        mel = torch.linspace(_mel(60.0), _mel(7_000.0), bands, dtype=torch.float64)
        centre = 700 * (torch.exp(mel / 1127) - 1)
        width = 24.7 * (4.37e-3 * centre + 1)  # Glasberg and Moore 1990, eq. 3
        share = (centre - LOWEST_HZ) / (HIGHEST_HZ - LOWEST_HZ)
        self.centre_logit = nn.Parameter(torch.logit(share).to(torch.get_default_dtype()))
        self.width_log = nn.Parameter(torch.log(width - NARROWEST_HZ).to(torch.get_default_dtype()))
        self.gain = LeakyMean(channels=bands, sample_rate_hz=FRAMES_HZ, start_s=0.2)
        self.gain_share_logit = nn.Parameter(torch.zeros(bands))
        self.scale = nn.Parameter(torch.full((bands,), 0.25))
        self.shift = nn.Parameter(torch.full((bands,), -1.0))
        self.unheard = nn.Parameter(torch.zeros(bands))

    def at_rate(self, sample_rate_hz: int) -> Self:
        """The same weights listening at another rate; parameters are shared, nothing is copied."""
        other = self._clone()
        other.sample_rate_hz = sample_rate_hz
        return other

    @property
    def centre_hz(self) -> Tensor:
        """(K,) centre of every mode."""
        share = torch.sigmoid(self.centre_logit).clamp(1e-6, 1 - 1e-6)  # rounding meets no bound
        return LOWEST_HZ + (HIGHEST_HZ - LOWEST_HZ) * share

    @property
    def width_hz(self) -> Tensor:
        """(K,) width of every mode: one stage loses 3 dB at half of it from the centre."""
        return NARROWEST_HZ + torch.exp(self.width_log).clamp(min=1e-3)

    def init_state(self, batch: int) -> FilterbankState:
        K = self.scale.shape[0]
        return FilterbankState(
            torch.complex(*self.scale.new_zeros(2, batch, 2, K)),
            self.scale.new_zeros(batch, K),
            self.gain.init_state(batch),
            torch.zeros((), dtype=torch.int64, device=self.scale.device),
        )

    def forward(
        self,
        x: Tensor,
        state: FilterbankState | None = None,
        bandwidth_hz: Tensor | None = None,
    ) -> tuple[Tensor, FilterbankState]:
        """(batch, samples, 1) -> (batch, frames, K), and the next state.

        Args:
            x: samples in [-1, 1].
            state: of the samples before.
            bandwidth_hz: (batch,) highest frequency that a row holds, where that is less than half
                the rate; its modes above are unheard, as they would be at a lower rate.

        Raises:
            ValueError: shapes do not agree.
        """
        if x.dim() != 3 or x.shape[2] != 1:
            raise ValueError(f"need x (batch, samples, 1); got {tuple(x.shape)}")
        state = self.init_state(x.shape[0]) if state is None else state
        x = x.to(self.scale.dtype)
        before = int(state.samples)
        after = before + x.shape[1]
        first, last = self._readings(before), self._readings(after)
        m = torch.arange(first + 1, last + 1, device=x.device)
        ends = end_of(m, READINGS_HZ, self.sample_rate_hz) - before
        readings, h = filterbank_by(x[..., 0], self.matrices(), ends, state.h)
        energies, energy = _frames(readings, first % READINGS_A_FRAME, state.energy)
        y, gain = self._bands(energies, state.gain, bandwidth_hz)
        return y, FilterbankState(h, energy, gain, torch.full_like(state.samples, after))

    def step(self, x: Tensor, state: FilterbankState) -> tuple[Tensor, FilterbankState]:
        """(batch, 1) -> (batch, frames, K) with frames 0 or 1, and the next state.

        Raises:
            ValueError: x is not one sample of every row of the state.
        """
        check_element(x, (state.h.shape[0], 1), "1")
        a, b = self.discrete()
        h = flush(filterbank_step(x[:, 0].to(self.scale.dtype), a, b, state.h))
        before = int(state.samples)
        first, last = self._readings(before), self._readings(before + 1)
        readings = (h[:, 1:].real ** 2 + h[:, 1:].imag ** 2)[:, : last - first]
        energies, energy = _frames(readings, first % READINGS_A_FRAME, state.energy)
        y, gain = self._bands(energies, state.gain, None)
        return y, FilterbankState(h, energy, gain, state.samples + 1)

    def silence(self) -> Tensor:
        """(1, K): every frame of an endless silence, at the rate of the training."""
        heard = self.top_hz() <= self.trained_at_hz / 2
        return torch.where(heard, self.shift, self.unheard)[None]

    @derived
    def discrete(self) -> tuple[Tensor, Tensor]:
        """Pole of every mode at this rate, and the gain of a stage."""
        turn = 2 * math.pi / self.sample_rate_hz
        width = self.width_hz
        a = torch.exp(torch.complex(-0.5 * turn * width, turn * self.centre_hz))
        return a, -torch.expm1(-0.5 * turn * width)

    @derived
    def matrices(self) -> FilterbankMatrices:
        """Of the parallel form, at this rate."""
        return filterbank_matrices(*self.discrete(), longest=-(-self.sample_rate_hz // READINGS_HZ))

    @derived
    def top_hz(self) -> Tensor:
        """(K,) highest frequency that a mode needs: below half the rate, or it is unheard."""
        return self.centre_hz + self.width_hz

    @derived
    def gain_share(self) -> Tensor:
        """(K,) share of its recent mean that a band loses."""
        return torch.sigmoid(self.gain_share_logit)

    def _readings(self, samples: int) -> int:
        """Readings that ended within so many samples."""
        return ended_within(samples, READINGS_HZ, self.sample_rate_hz)

    def _bands(
        self, energies: Tensor, gain: LeakyMeanState, bandwidth_hz: Tensor | None
    ) -> tuple[Tensor, LeakyMeanState]:
        loud = torch.log1p(energies / QUIET)
        mean, gain = self.gain(loud, gain)
        y = self.scale * (loud - self.gain_share() * mean) + self.shift
        top = self.top_hz()
        heard = top <= self.sample_rate_hz / 2
        if bandwidth_hz is not None:
            heard = heard & (top <= bandwidth_hz[:, None, None])
        return torch.where(heard, y, self.unheard), gain


def _frames(readings: Tensor, pending: int, energy: Tensor) -> tuple[Tensor, Tensor]:
    """Means of four readings, and the sum of those of the frame that is not finished.

    `pending` readings of the first frame are in `energy` already.
    """
    sums, energy = sums_of(readings, READINGS_A_FRAME, pending, energy)
    return sums / READINGS_A_FRAME, energy


def _mel(frequency_hz: float) -> float:
    """Source: O'Shaughnessy 1987, "Speech Communication", in natural logarithms."""
    return 1127 * math.log1p(frequency_hz / 700)
