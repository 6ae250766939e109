"""States of a model as values that training carries from one step to the next."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

StateT = TypeVar("StateT", bound=tuple)


def map_leaves(function: Callable[..., Tensor], *states: StateT) -> StateT:
    """State of the same kind whose tensors are `function` of those of `states`."""
    first = states[0]
    parts = [
        function(*part) if isinstance(part[0], Tensor) else map_leaves(function, *part)
        for part in zip(*states, strict=True)
    ]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)


def leaves(state: tuple) -> list[Tensor]:
    """Its tensors, in order."""
    return [leaf for part in state for leaf in _leaves(part)]


def _leaves(part: Tensor | tuple) -> list[Tensor]:
    return [part] if isinstance(part, Tensor) else leaves(part)


def from_leaves(like: StateT, tensors: list[Tensor]) -> StateT:
    """Inverse of `leaves`, for a state shaped as `like`."""
    rest = iter(tensors)
    return map_leaves(lambda leaf: next(rest).to(leaf), like)


def detach(state: StateT) -> StateT:
    """The same numbers without their past: gradients end here."""
    return map_leaves(Tensor.detach, state)


def restart(state: StateT, silence: StateT, rows: Tensor) -> StateT:
    """`state`, and `silence` in the rows (batch,) that are true; shared counters go on."""

    def choose(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(rows.view(-1, *[1] * (old.dim() - 1)), new, old) if old.dim() else old

    return map_leaves(choose, state, silence)
