"""From h' = A h + B x to h_t = dA h_(t-1) + dB x_t in elements, each dt long in the time of A.

Zero-order hold keeps the poles exactly (dA = exp(dt A)); bilinear maps the left half plane onto
the unit disc and is second order in dt.  Dense forms take A (..., N, N), diagonal forms A (..., N).

Source: Gu et al. 2021, arXiv:2111.00396, eq. 3 (bilinear); Gu et al. 2022, arXiv:2206.11893,
section 3.1 (zero-order hold).
"""

import torch
from torch import Tensor


def zoh_diagonal(A: Tensor, B: Tensor, dt: Tensor | float) -> tuple[Tensor, Tensor]:
    """Exactly, mode by mode: dA = exp(dt A), dB = (exp(dt A) - 1) / A * B; dt B where A -> 0.

    Args:
        A: (..., N) diagonal of the system, in 1 / the unit of dt.
        B: (..., N) input.
        dt: broadcasts with A.
    """
    z = dt * A
    return torch.exp(z), dt * _expm1_over(z) * B


def bilinear_diagonal(A: Tensor, B: Tensor, dt: Tensor | float) -> tuple[Tensor, Tensor]:
    """Mode by mode: dA = (1 + dt A / 2) / (1 - dt A / 2), dB = dt / (1 - dt A / 2) * B.

    Args:
        A: (..., N) diagonal of the system, in 1 / the unit of dt.
        B: (..., N) input.
        dt: broadcasts with A.
    """
    half = 0.5 * dt * A
    return (1 + half) / (1 - half), dt * B / (1 - half)


def zoh(A: Tensor, B: Tensor, dt: Tensor | float) -> tuple[Tensor, Tensor]:
    """Exactly: dA = exp(dt A), and dB the integral of exp(s A) B over one step.

    Both are read off exp(dt [[A, B], [0, 0]]), so that a singular A needs no special case.

    Args:
        A: (..., N, N), in 1 / the unit of dt.
        B: (..., N).
        dt: a number or (...).
    """
    N = A.shape[-1]
    dt = torch.as_tensor(dt, dtype=A.real.dtype, device=A.device)[..., None, None]
    system = torch.cat([A, B[..., None]], dim=-1)
    bordered = torch.nn.functional.pad(system, (0, 0, 0, 1))  # the input holds still: x' = 0
    step = torch.linalg.matrix_exp(dt * bordered)
    return step[..., :N, :N], step[..., :N, N]


def bilinear(A: Tensor, B: Tensor, dt: Tensor | float) -> tuple[Tensor, Tensor]:
    """By the trapezium: dA = (I - dt A / 2)^-1 (I + dt A / 2), dB = (I - dt A / 2)^-1 dt B.

    Args:
        A: (..., N, N), in 1 / the unit of dt.
        B: (..., N).
        dt: a number or (...).
    """
    dt = torch.as_tensor(dt, dtype=A.real.dtype, device=A.device)[..., None, None]
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    half = 0.5 * dt * A
    right = torch.cat([eye + half, dt * B[..., None]], dim=-1)
    step = torch.linalg.solve(eye - half, right)
    return step[..., :-1], step[..., -1]


def _expm1_over(z: Tensor) -> Tensor:
    """(exp(z) - 1) / z, by its series where z is too small to divide by; its gradient too."""
    small = z.abs() < 1e-2
    safe = torch.where(small, torch.ones_like(z), z)
    series = torch.ones_like(z)
    for n in range(7, 1, -1):  # the next term is below a float64's last bit
        series = 1 + z / n * series
    return torch.where(small, series, torch.expm1(safe) / safe)
