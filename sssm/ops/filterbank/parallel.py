"""The filterbank on a CPU: one real matrix product, then one fused loop over the readings.

Between two readings, S samples apart, both stages move by

    h1' = a^S h1 + sum_j a^(S-1-j) b x_j
    h2' = a^S h2 + S b a^S h1 + sum_j (S-j) a^(S-1-j) b^2 x_j,     j = 0 .. S-1,

so all sums are one product (readings x S) by (S x 4K), and what is left is a scan over readings
(`scan.py`).  Samples are aligned on the last one of their reading: a shorter reading has zeros in
front.  The powers are those of the rounded `a` that the step repeats, with logarithm and phase in
float64.  A complex pair of stages is four real planes: re 1, im 1, re 2, im 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sssm.math.powers import powers
from sssm.ops.filterbank.scan import scan, scan_backward


def piece_lengths(ends: Tensor, length: int) -> Tensor:
    """Samples in each reading, and in what follows the last one (possibly none)."""
    edges = torch.cat([ends, ends.new_tensor([length])])
    return torch.diff(edges, prepend=edges.new_zeros(1))


def taps(a: Tensor, b: Tensor, size: int) -> Tensor:
    """Weights of a reading's samples in both stages: (size, 4K) real."""
    after = torch.arange(size - 1, -1, -1)  # samples between this one and the reading
    first = powers(a, after).T * b.to(torch.float64)
    second = first * b.to(torch.float64) * (after + 1)[:, None]
    return planes(torch.stack([first, second], dim=1).to(a.dtype)).flatten(1)


def carries(a: Tensor, b: Tensor, lengths: Tensor) -> Tensor:
    """a^S of each piece, and S b a^S, what stage one hands to stage two: (pieces, 4, K) real."""
    hold = powers(a, lengths).T
    pair = torch.stack([hold, hold * b.to(torch.float64) * lengths[:, None]], dim=1)
    return planes(pair.to(a.dtype))


def pieces(x: Tensor, lengths: Tensor) -> Tensor:
    """(batch, length) -> (batch, pieces, S), each piece with zeros in front."""
    longest = int(lengths.max())
    if lengths.numel() > 1 and int(lengths[:-1].min()) == longest and int(lengths[-1]) == 0:
        return F.pad(x, (0, longest)).reshape(x.shape[0], -1, longest)
    back = torch.arange(longest - 1, -1, -1)
    index = (lengths.cumsum(0)[:, None] - 1 - back).clamp(min=0)
    return x[:, index] * (back < lengths[:, None])


def scan_parallel(u: Tensor, carry: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Energy (batch, readings, K) and the states after all pieces (batch, pieces, 4K)."""
    h = u.clone(memory_format=torch.contiguous_format)
    energy = u.new_empty(u.shape[0], u.shape[1] - 1, start.shape[2])
    scan(h.numpy(), carry.numpy(), start.numpy(), energy.numpy())
    return energy, h


def scan_parallel_backward(
    h: Tensor, carry: Tensor, start: Tensor, denergy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, carry and start; `h` holds the states that the forward returned."""
    du, dcarry, dstart = dh.clone(), torch.zeros_like(carry), torch.zeros_like(start)
    scan_backward(
        h.numpy(), carry.numpy(), start.numpy(), denergy.contiguous().numpy(),
        du.numpy(), dcarry.numpy(), dstart.numpy(),
    )  # fmt: skip
    return du, dcarry, dstart


def planes(h: Tensor) -> Tensor:
    """Complex (rows, 2, K) -> real (rows, 4, K)."""
    return torch.stack([h.real, h.imag], dim=2).flatten(1, 2)


def from_planes(h: Tensor) -> Tensor:
    """Real (rows, 4, K) -> complex (rows, 2, K)."""
    return torch.complex(h[:, 0::2].contiguous(), h[:, 1::2].contiguous())

