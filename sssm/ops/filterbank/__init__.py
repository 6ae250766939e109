"""Filterbank: two equal complex one-pole stages a mode, whose energy is read now and then.

    h1_n = a h1_(n-1) + b x_n,  h2_n = a h2_(n-1) + b h1_n,  energy = |h2|^2 where a reading ends

`reference.py` says it sample by sample; `parallel.py` does it by one matrix product and a loop over
the readings; that loop is compiled for a CPU in `scan.py`, for a GPU in `kernel.py`.  Only this
file knows all of them.  The product and its matrices are plain tensor arithmetic, so only the loop
is registered as an operator of its own.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sssm.ops.filterbank import parallel
from sssm.ops.filterbank.reference import filterbank_reference, filterbank_step
from sssm.ops.operator import of_nothing, operator

__all__ = [
    "FilterbankMatrices", "filterbank", "filterbank_by", "filterbank_matrices",
    "filterbank_reference", "filterbank_step",
]  # fmt: skip


class FilterbankMatrices(NamedTuple):
    """What the parallel form needs of the modes, for readings of up to S samples."""

    taps: Tensor  # (S, 4K) weight of each sample of a reading in both stages
    carries: Tensor  # (S + 1, 4, K) what is left of a state after 0 .. S samples


@operator("filterbank_scan")
def _scan(u: Tensor, carry: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.filterbank.scan import scan

    h = u.clone(memory_format=torch.contiguous_format)
    energy = u.new_empty(u.shape[0], u.shape[1] - 1, start.shape[2])
    scan(h.numpy(), *(t.contiguous().numpy() for t in (carry, start)), energy.numpy())
    return energy, h


@_scan.register_fake
def _scan_fake(u: Tensor, carry: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    energy = u.new_empty(u.shape[0], u.shape[1] - 1, start.shape[2])
    return energy, u.new_empty(u.shape)


@operator("filterbank_scan_backward")
def _scan_backward(
    h: Tensor, carry: Tensor, start: Tensor, denergy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from sssm.ops.filterbank.scan import scan_backward

    carry, start = carry.contiguous(), start.contiguous()
    du = dh.clone(memory_format=torch.contiguous_format)
    dcarry, dstart = torch.zeros_like(carry), torch.zeros_like(start)
    scan_backward(
        h.numpy(), carry.numpy(), start.numpy(), denergy.contiguous().numpy(),
        du.numpy(), dcarry.numpy(), dstart.numpy(),
    )  # fmt: skip
    return du, dcarry, dstart


@_scan_backward.register_fake
def _scan_backward_fake(
    h: Tensor, carry: Tensor, start: Tensor, denergy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return h.new_empty(h.shape), carry.new_empty(carry.shape), start.new_empty(start.shape)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(output[1], inputs[1], inputs[2])


def _backward(ctx, denergy: Tensor, dh: Tensor):
    return _scan_backward(*ctx.saved_tensors, denergy, dh)


_scan.register_autograd(_backward, setup_context=_save)


def _cuda(u: Tensor, carry: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.filterbank.kernel import scan_triton

    return scan_triton(u, carry, start)


def _cuda_backward(
    h: Tensor, carry: Tensor, start: Tensor, denergy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from sssm.ops.filterbank.kernel import scan_backward_triton

    return scan_backward_triton(h, carry, start, denergy, dh)


_scan.register_kernel("cuda", _cuda)
_scan_backward.register_kernel("cuda", _cuda_backward)


def filterbank(
    x: Tensor, a: Tensor, b: Tensor, ends: Tensor, h0: Tensor, *, longest: int
) -> tuple[Tensor, Tensor]:
    """Energy of every mode at the ends of readings, and the state after the last sample.

    Args:
        x: (batch, length) real samples; length 0 is a chunk too.
        a: (K,) complex pole of each mode, |a| < 1.
        b: (K,) real gain of each stage.
        ends: (readings,) int64, rising, in 1 .. length: reading m is taken after ends[m] samples.
        h0: (batch, 2, K) complex state of the two stages before the first sample.
        longest: most samples in a reading, or after the last one.

    Returns:
        (batch, readings, K) real energies, and (batch, 2, K) complex, the last state.

    Raises:
        ValueError: shapes do not agree, or a reading is longer than `longest`.
    """
    if x.dim() != 2 or a.dim() != 1 or b.shape != a.shape:
        raise ValueError(
            f"need x (batch, length), a and b (K,); "
            f"got x {tuple(x.shape)}, a {tuple(a.shape)}, b {tuple(b.shape)}"
        )
    return filterbank_by(x, filterbank_matrices(a, b, longest=longest), ends, h0)


def filterbank_matrices(a: Tensor, b: Tensor, *, longest: int) -> FilterbankMatrices:
    """Matrices of the modes `a`, `b` (see `filterbank`) for readings of up to `longest` samples."""
    with torch.autocast(a.device.type, enabled=False):
        lengths = torch.arange(longest + 1, device=a.device)
        return FilterbankMatrices(parallel.taps(a, b, longest), parallel.carries(a, b, lengths))


def filterbank_by(
    x: Tensor, matrices: FilterbankMatrices, ends: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """`filterbank` by matrices that were made before, for many calls with the same modes.

    Raises:
        ValueError: shapes do not agree, or a reading is longer than the matrices are for.
    """
    taps, carries = matrices
    if x.dim() != 2 or ends.dim() != 1:
        raise ValueError(
            f"need x (batch, length) and ends (readings,); "
            f"got x {tuple(x.shape)}, ends {tuple(ends.shape)}"
        )
    if h0.shape != (x.shape[0], 2, carries.shape[2]):
        raise ValueError(f"need h0 (batch, 2, K); got {tuple(h0.shape)}, batch {x.shape[0]}")
    x = x.to(taps.dtype)
    if x.shape[1] == 0:
        energy = x.new_zeros(x.shape[0], 0, carries.shape[2])
        return of_nothing(energy, x, taps, carries), h0.clone()
    lengths = parallel.piece_lengths(ends, x.shape[1])
    longest = taps.shape[0]
    if not torch.compiler.is_compiling() and int(lengths.max()) > longest:
        raise ValueError(f"a reading has {int(lengths.max())} samples, more than {longest}")
    size = min(longest, x.shape[1])
    with torch.autocast(x.device.type, enabled=False):
        u = parallel.pieces(x, lengths, size) @ taps[longest - size :]
        scan = _scan if x.device.type in ("cpu", "cuda") else parallel.scan_parallel
        energy, h = scan(u, carries[lengths], parallel.planes(h0))
    return energy, parallel.from_planes(h[:, -1].unflatten(1, (4, -1)))
