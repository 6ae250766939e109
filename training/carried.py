"""States of a model as values that training carries from one step to the next."""

from typing import TypeVar

import torch
from torch import Tensor

from sssm.layers.contract import leaves, with_leaves

StateT = TypeVar("StateT", bound=tuple)


def from_leaves(like: StateT, tensors: list[Tensor]) -> StateT:
    """Inverse of `leaves`, for a state shaped as `like`, with its types and devices."""
    pairs = zip(tensors, leaves(like), strict=True)
    state: StateT = with_leaves(like, [tensor.to(leaf) for tensor, leaf in pairs])
    return state


def detach(state: StateT) -> StateT:
    """The same numbers without their past: gradients end here."""
    detached: StateT = with_leaves(state, [leaf.detach() for leaf in leaves(state)])
    return detached


def restart(state: StateT, silence: StateT, rows: Tensor) -> StateT:
    """`state`, and `silence` in the rows (batch,) that are true; shared counters go on."""

    def choose(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(rows.view(-1, *[1] * (old.dim() - 1)), new, old) if old.dim() else old

    pairs = zip(leaves(state), leaves(silence), strict=True)
    restarted: StateT = with_leaves(state, [choose(old, new) for old, new in pairs])
    return restarted
