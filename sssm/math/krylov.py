"""Powers of a dense matrix, and what they make of a vector, by doubling.

Source: Gu et al. 2021, "Combining Recurrent, Convolutional, and Continuous-time Models with
Linear State-Space Layers", arXiv:2110.13985, equation 7 (the Krylov function) and section 4.2 (the
squaring technique).
"""

import torch
from torch import Tensor


def squarings(A: Tensor, exponent: int) -> list[Tensor]:
    """A, A^2, A^4, ... as far as powers up to `exponent` need them; A (..., N, N)."""
    squares = [A]
    while 2 << (len(squares) - 1) <= exponent:
        squares.append(squares[-1] @ squares[-1])
    return squares


def power(squares: list[Tensor], exponent: int) -> Tensor:
    """A^exponent (..., N, N) from the squarings of A, one product for every bit that is set.

    Raises:
        ValueError: there are too few squarings for so high a power.
    """
    if exponent >> len(squares):
        raise ValueError(f"{len(squares)} squarings make no power of {exponent}")
    result = None
    for bit, square in enumerate(squares):
        if exponent >> bit & 1:
            result = square if result is None else square @ result
    A = squares[0]
    return torch.eye(A.shape[-1]).to(A).expand_as(A) if result is None else result


def krylov(squares: list[Tensor], b: Tensor, length: int) -> Tensor:
    """[b, A b, ..., A^(length - 1) b], (..., N, length), from the squarings of A and b (..., N)."""
    columns = b[..., None]
    for square in squares:
        if columns.shape[-1] < length:
            columns = torch.cat([columns, square @ columns], dim=-1)
    return columns[..., :length]
