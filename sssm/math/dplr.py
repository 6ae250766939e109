"""A diagonal-plus-low-rank system made discrete: it stays diagonal plus rank one.

With A = Lambda - P P^* and z = dt Lambda / 2, D = 1 / (1 - z), the bilinear rule gives

    dA = 2 (I - dt A / 2)^-1 - I = diag(poles) - Q R^*,     poles = (1 + z) / (1 - z),
    Q = dt D P / (1 + dt P^* D P / 2),   R^* = P^* D,       dB = dt (I - dt A / 2)^-1 B.

All vectors hold one mode of each conjugate pair.  The other half of a sum is then the conjugate,
so that inner products are twice a real part.

Source: Gu et al. 2021, arXiv:2111.00396, theorem 2 and appendix C.2, with -P P^* (section 3.4) for
-P Q^*, and A1 A0 multiplied out; Q here is another one.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class DiscreteDPLR(NamedTuple):
    """h_t = poles h_(t-1) - Q (R^* h_(t-1)) + dB x_t and y_t = 2 Re C h_t; all (H, N / 2) complex.

    `R` is stored as the row R^*, ready to be multiplied.
    """

    poles: Tensor
    Q: Tensor
    R: Tensor
    dB: Tensor
    C: Tensor


def bilinear_dplr(Lambda: Tensor, P: Tensor, B: Tensor, C: Tensor, dt: Tensor) -> DiscreteDPLR:
    """The system in elements, each dt long in the time of Lambda.

    Args:
        Lambda, P, B, C: (H, N / 2) complex, one of each conjugate pair.
        dt: (H, 1), in 1 / the unit of Lambda.
    """
    z = 0.5 * dt * Lambda
    D = 1 / (1 - z)
    R = P.conj() * D
    Q = dt * D * P / (1 + 0.5 * dt * pair_sum(R * P))  # Woodbury, a real denominator
    dB = dt * D * B - 0.5 * dt * Q * pair_sum(R * B)
    return DiscreteDPLR((1 + z) * D, Q, R, dB, C)


def dense_dplr(system: DiscreteDPLR) -> tuple[Tensor, Tensor, Tensor]:
    """The same system as real matrices acting on (Re h, Im h): dA (H, N, N), dB, C (H, N)."""
    poles, Q, R, dB, C = system
    re, im = torch.diag_embed(poles.real), torch.diag_embed(poles.imag)
    diagonal = torch.cat([torch.cat([re, -im], dim=-1), torch.cat([im, re], dim=-1)], dim=-2)
    dA = diagonal - to_real(Q)[..., :, None] * row_to_real(R)[..., None, :]
    return dA, to_real(dB), row_to_real(C)


def pair_sum(half: Tensor) -> Tensor:
    """Sum over the modes and their conjugates, (..., N / 2) -> (..., 1), real."""
    return 2 * half.real.sum(dim=-1, keepdim=True)


def to_real(column: Tensor) -> Tensor:
    """(..., N / 2) complex -> (..., N) real: real parts, then imaginary parts."""
    return torch.cat([column.real, column.imag], dim=-1)


def to_complex(column: Tensor) -> Tensor:
    """Inverse of `to_real`."""
    return torch.complex(*column.chunk(2, dim=-1))


def row_to_real(row: Tensor) -> Tensor:
    """The real row that gives 2 Re(row h) when it multiplies `to_real(h)`."""
    return 2 * to_real(row.conj())


def row_to_complex(row: Tensor) -> Tensor:
    """Inverse of `row_to_real`."""
    return 0.5 * to_complex(row).conj()
