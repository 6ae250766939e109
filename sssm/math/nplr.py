"""HiPPO matrices as normal plus low rank, and unitarily as diagonal plus low rank (DPLR).

A + P P^T is normal for every HiPPO matrix: a multiple of the identity plus a skew-symmetric
matrix, whose eigenvectors are unitary.  A itself must not be diagonalised: the condition number
of its eigenvectors grows exponentially with N.

Source: Gu et al. 2021, "Efficiently Modeling Long Sequences with Structured State Spaces",
arXiv:2111.00396, theorem 1 and appendix C.1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sssm.math.hippo import hippo_lagt, hippo_legs, hippo_legt


class DPLR(NamedTuple):
    """A = V (diag(Lambda) - P P^*) V^*, and B in the same basis; complex128.

    Modes N/2 and up are the conjugates of the first N/2, in the same order, so a layer with real
    input and output keeps the first half alone.
    """

    Lambda: Tensor  # (N,) eigenvalues of the normal part, Im > 0 in the first half
    P: Tensor  # (N, rank)
    B: Tensor  # (N,)
    V: Tensor  # (N, N) unitary


def dplr_legs(N: int) -> DPLR:
    """HiPPO-LegS, rank 1: Re(Lambda) = -1/2."""
    A, B = hippo_legs(N)
    return _diagonalize(A, B, P=torch.sqrt(B**2 / 2)[:, None])


def dplr_legt(N: int) -> DPLR:
    """HiPPO-LegT, rank 2: one direction for the even, one for the odd coefficients; Re = 0."""
    A, B = hippo_legt(N)
    even = torch.arange(N) % 2 == 0
    return _diagonalize(A, B, P=torch.stack([B * even, B * ~even], dim=1))


def dplr_lagt(N: int) -> DPLR:
    """HiPPO-LagT, rank 1: Re(Lambda) = -1/2."""
    A, B = hippo_lagt(N)
    return _diagonalize(A, B, P=torch.full((N, 1), 0.5**0.5, dtype=A.dtype))


def _diagonalize(A: Tensor, B: Tensor, P: Tensor) -> DPLR:
    N = A.shape[0]
    if N % 2:
        raise ValueError(f"N must be even, to come in conjugate pairs; got {N}")
    normal = A + P @ P.T
    shift = normal.diagonal().mean()
    skew = normal - shift * torch.eye(N, dtype=A.dtype)
    frequency, vectors = torch.linalg.eigh(-1j * skew)  # Hermitian: real, ascending, unitary
    half, W = torch.complex(shift.expand(N // 2), frequency[N // 2 :]), vectors[:, N // 2 :]
    V = torch.cat([W, W.conj()], dim=1)
    to_modes = V.conj().T
    return DPLR(torch.cat([half, half.conj()]), to_modes @ P.to(V), to_modes @ B.to(V), V)
