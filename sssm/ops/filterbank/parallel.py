"""The filterbank in plain tensors: one real matrix product, then a loop over the readings.

Between two readings, S samples apart, both stages move by

    h1' = a^S h1 + sum_j a^(S-1-j) b x_j
    h2' = a^S h2 + S b a^S h1 + sum_j (S-j) a^(S-1-j) b^2 x_j,     j = 0 .. S-1,

so all sums are one product (readings x S) by (S x 4K), and what is left is a scan over readings.
Samples are aligned on the last one of their reading: a shorter reading has zeros in front.  The
powers are those of the rounded `a` that the step repeats, with logarithm and phase in float64.  A
complex pair of stages is four real planes: re 1, im 1, re 2, im 2.
"""

import torch
from torch import Tensor

from sssm.math.powers import powers
from sssm.ops.flush import flush


def piece_lengths(ends: Tensor, length: int) -> Tensor:
    """Samples in each reading, and in what follows the last one (possibly none)."""
    edges = torch.cat([ends, ends.new_full((1,), length)])
    return torch.diff(edges, prepend=edges.new_zeros(1))


def taps(a: Tensor, b: Tensor, size: int) -> Tensor:
    """Weights of a reading's samples in both stages: (size, 4K) real."""
    after = torch.arange(size - 1, -1, -1, device=a.device)  # samples from this one to the end
    first = powers(a, after).T * b.to(torch.float64)
    second = first * b.to(torch.float64) * (after + 1)[:, None]
    return planes(torch.stack([first, second], dim=1).to(a.dtype)).flatten(1)


def carries(a: Tensor, b: Tensor, lengths: Tensor) -> Tensor:
    """a^S of each piece, and S b a^S, what stage one hands to stage two: (pieces, 4, K) real."""
    hold = powers(a, lengths).T
    pair = torch.stack([hold, hold * b.to(torch.float64) * lengths[:, None]], dim=1)
    return planes(pair.to(a.dtype))


def pieces(x: Tensor, lengths: Tensor, size: int) -> Tensor:
    """(batch, length) -> (batch, pieces, size), each piece with zeros in front."""
    back = torch.arange(size - 1, -1, -1, device=x.device)
    index = (lengths.cumsum(0)[:, None] - 1 - back).clamp(min=0)
    inside = back < lengths[:, None]
    return x.index_select(1, index.flatten()).unflatten(1, index.shape) * inside


def scan_parallel(u: Tensor, carry: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Energy (batch, readings, K) and the states after all pieces (batch, pieces, 4K).

    One reading after the other, all rows and modes at once: right on any device, fast on none.

    Args:
        u: (batch, pieces, 4K) what the samples of each piece add to the states.
        carry: (pieces, 4, K), `carries`.
        start: (batch, 4, K) state before the first piece.
    """
    inputs = from_planes(u.unflatten(2, (4, -1)).flatten(0, 1)).unflatten(0, u.shape[:2])
    first, second = from_planes(start).unbind(dim=1)
    hold, hand = from_planes(carry).unbind(dim=1)
    states = []
    for piece in range(u.shape[1]):
        second = flush(hold[piece] * second + hand[piece] * first + inputs[:, piece, 1])
        first = flush(hold[piece] * first + inputs[:, piece, 0])
        states.append(planes(torch.stack([first, second], dim=1)))
    h = torch.stack(states, dim=1)
    return h[:, :-1, 2].square() + h[:, :-1, 3].square(), h.flatten(2)


def planes(h: Tensor) -> Tensor:
    """Complex (rows, 2, K) -> real (rows, 4, K)."""
    return torch.stack([h.real, h.imag], dim=2).flatten(1, 2)


def from_planes(h: Tensor) -> Tensor:
    """Real (rows, 4, K) -> complex (rows, 2, K)."""
    return torch.complex(h[:, 0::2].contiguous(), h[:, 1::2].contiguous())
