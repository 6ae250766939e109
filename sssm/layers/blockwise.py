"""The parallel form, with state, of models whose dA is dense: of `LSSL`.

Inside a block the output is a convolution; from block to block the state is carried by dA^S.
"""

import torch
from torch import Tensor

from sssm.math.krylov import krylov, power
from sssm.ops.flush import flush
from sssm.ops.long_conv import long_conv

BLOCK = 128
"""S at most, in elements: the Krylov vectors cost N^2 for each of these, once; the carry costs
N^2 / S for each element of the input."""


def block_length(length: int) -> int:
    """Elements of the blocks into which a sequence of `length` is cut."""
    return min(length, BLOCK)


def blockwise(
    x: Tensor, squares: list[Tensor], dB: Tensor, C: Tensor, K: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """h_t = dA h_(t-1) + dB x_t and y_t = C h_t, for all t.

    Args:
        x: (batch, length, H) real, at least one element.
        squares: squarings of dA (H, N, N) up to the block's length, in float64.
        dB, C: (H, N) real, in float64.
        K: (H, block_length(length)) kernel of the same system, in the dtype of x.
        h0: (batch, H, N) state before the first element.

    Returns:
        y (batch, length, H) and the state after the last element (batch, H, N).

    Raises:
        ValueError: shapes do not agree.
    """
    if h0.shape != (x.shape[0], *dB.shape):
        raise ValueError(f"need h0 (batch, H, N); got {tuple(h0.shape)}, x {tuple(x.shape)}")
    size = K.shape[1]
    enters = krylov(squares, dB, size).flip(-1)  # dA^(S-1-s) dB: element s in the last state
    leaves = squares[0].mT @ krylov([s.mT for s in squares], C, size)  # C dA^(s+1): h0 in y_s
    enters, leaves = enters.to(x.dtype), leaves.to(x.dtype)

    whole = x.shape[1] // size * size
    carry = power(squares, size).to(x.dtype)
    y, h = _blocks(x[:, :whole].unflatten(1, (-1, size)), carry, enters, leaves, K, h0)
    rest = x.shape[1] - whole
    if rest == 0:
        return y, h
    carry = power(squares, rest).to(x.dtype)
    last, h = _blocks(
        x[:, None, whole:], carry, enters[..., -rest:], leaves[..., :rest], K[:, :rest], h
    )
    return torch.cat([y, last], dim=1), h


def _blocks(
    x: Tensor, carry: Tensor, enters: Tensor, leaves: Tensor, K: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Blocks of one length, x (batch, blocks, S, H) -> y (batch, blocks S, H), last state."""
    batch, blocks = x.shape[:2]
    y = long_conv(x.flatten(0, 1), K).unflatten(0, (batch, blocks))
    heard = torch.einsum("bcsh,hns->cbhn", x, enters)
    starts = []
    for block in range(blocks):
        starts.append(h)
        h = flush(torch.einsum("hnm,bhm->bhn", carry, h) + heard[block])
    y = y + torch.einsum("cbhn,hns->bcsh", torch.stack(starts), leaves)
    return y.flatten(1, 2), h
