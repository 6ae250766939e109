"""Where the modes of a diagonal state-space model start.

Every function returns the N modes that are kept, one of each conjugate pair (Im >= 0), as
complex128 (N,) with Re < 0; the real system they stand for has 2 N states.

Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space
Models", arXiv:2206.11893, section 4.
"""

import math

import torch
from torch import Tensor

from sssm.math.nplr import dplr_legs


def s4d_lin(N: int) -> Tensor:
    """A_n = -1/2 + i pi n: Fourier frequencies of a unit window (S4D-Lin)."""
    return _modes(math.pi * torch.arange(N, dtype=torch.float64))


def s4d_inv(N: int) -> Tensor:
    """A_n = -1/2 + i (M / pi) (M / (2n + 1) - 1), M = 2 N states (S4D-Inv)."""
    states = 2 * N
    n = torch.arange(N, dtype=torch.float64)
    return _modes(states / math.pi * (states / (2 * n + 1) - 1))


def s4d_legs(N: int) -> Tensor:
    """Eigenvalues of the normal part of HiPPO-LegS with 2 N states, slowest first (S4D-LegS)."""
    return dplr_legs(2 * N).Lambda[:N]


def s4d_real(N: int) -> Tensor:
    """A_n = -(n + 1), the diagonal of HiPPO-LegS: no mode oscillates (S4D-Real).

    Mamba starts there.  Its states are real, so none stands for a pair: N of them are all there is.
    """
    n = torch.arange(N, dtype=torch.float64)
    return torch.complex(-(n + 1), torch.zeros_like(n))


def _modes(imaginary: Tensor) -> Tensor:
    return torch.complex(torch.full_like(imaginary, -0.5), imaginary)
