"""HiPPO matrices: what a state must obey to remember its input as polynomial coefficients.

h'(t) = A h(t) + B x(t), in float64; the scaled measure (LegS) is used time-invariant, as in S4.

Source: Gu et al. 2020, "HiPPO: Recurrent Memory with Optimal Polynomial Projections",
arXiv:2008.07669, with the normalised bases of Gu et al. 2021, arXiv:2110.13985.
"""

import torch
from torch import Tensor


def hippo_legs(N: int) -> tuple[Tensor, Tensor]:
    """Scaled Legendre measure: the whole past, stretched to one interval.

    Returns:
        A (N, N) lower triangular and B (N,).

    Source: arXiv:2008.07669, theorem 2 (the normalised Legendre basis).
    """
    n = torch.arange(N, dtype=torch.float64)
    B = torch.sqrt(2 * n + 1)
    A = -torch.tril(B[:, None] * B, -1) - torch.diag(n + 1)
    return A, B


def hippo_legt(N: int) -> tuple[Tensor, Tensor]:
    """Translated Legendre measure: a sliding window of length 1, every moment weighing the same.

    Returns:
        A (N, N) and B (N,) of the orthonormal basis; A/theta and B/theta slide a window of theta.

    Source: arXiv:2008.07669, appendix D.1 at lambda_n = 1; theorem 1 has the basis of the LMU.
    """
    n = torch.arange(N, dtype=torch.float64)
    B = torch.sqrt(2 * n + 1)
    alternating = (-1.0) ** (n[:, None] - n)
    sign = torch.where(n[:, None] < n, alternating, torch.ones_like(alternating))
    return -B[:, None] * B * sign, B


def hippo_lagt(N: int) -> tuple[Tensor, Tensor]:
    """Translated Laguerre measure: the past forgotten exponentially, at rate 1.

    Returns:
        A (N, N) lower triangular and B (N,), the generalised Laguerre basis at alpha = 0, beta = 1.

    Source: arXiv:2008.07669, appendix D.2 (A = -1 below and on the diagonal, B = 1).
    """
    return -torch.tril(torch.ones(N, N, dtype=torch.float64)), torch.ones(N, dtype=torch.float64)
