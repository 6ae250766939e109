"""The one contract that every layer keeps: any chunking gives the same numbers.

`tests/streaming.py` holds each layer, and the whole model, to it.
"""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

StateT = TypeVar("StateT", bound=tuple)
LayerT = TypeVar("LayerT", bound="StreamingLayer")
ResultT = TypeVar("ResultT")


class StreamingLayer(nn.Module, Generic[StateT]):
    """A causal layer that gives the same answer in one piece or in many.

    forward(cat(p, q), s) == cat(forward(p, s), forward(q, s')) for every split, where s' is the
    state that the first call returned.  A state is a value, a `NamedTuple` of tensors: it is never
    changed in place and never kept by the layer.  Length 0 and 1 are chunks too.
    """

    _kept: dict[str, Any] | None = None  # what a frozen layer derived from its weights

    def init_state(self, batch: int) -> StateT:
        """State of silence: what has been heard before the first element."""
        raise NotImplementedError

    def settle(self, x: Tensor) -> tuple[Tensor, StateT]:
        """(batch, channels) that never changed -> (batch, channels), and the state they left.

        The fixed point of `step`: of the layers at 100 Hz, whose past is an endless silence.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, state: StateT | None = None) -> tuple[Tensor, StateT]:
        """(batch, length, channels) -> (batch, length, channels), and the next state."""
        raise NotImplementedError

    def step(self, x: Tensor, state: StateT) -> tuple[Tensor, StateT]:
        """(batch, channels) -> (batch, channels), and the next state: `forward` on one element."""
        raise NotImplementedError

    def frozen(self) -> Self:
        """The same layer for inference: what follows from its weights is worked out once.

        The numbers are those of the layer in evaluation, whatever its mode, bit for bit.  Weights
        are shared; do not train, change or move them while the frozen layer is in use.
        """
        other = self._clone()
        other.training, other._kept = False, {}
        other._modules = {name: _freeze(module) for name, module in self._modules.items()}
        return other

    def _clone(self) -> Self:
        """A shallow copy that keeps nothing that was derived.

        It shares the weights and the modules, and so what `train` and `eval` set in those.
        """
        other = copy.copy(self)
        other._kept = None if self._kept is None else {}
        return other


def derived(method: Callable[[LayerT], ResultT]) -> Callable[[LayerT], ResultT]:
    """Decorator of a method of weights and rate alone: a frozen layer keeps what it returned."""

    @functools.wraps(method)
    def keep(self: LayerT) -> ResultT:
        if self._kept is None:
            return method(self)
        if method.__name__ not in self._kept:
            # Constants of no mode: a frozen layer may meet inference mode first, and no_grad next.
            with (
                torch.inference_mode(False), torch.no_grad(),
                torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False),
            ):  # fmt: skip
                self._kept[method.__name__] = method(self)
        result: ResultT = self._kept[method.__name__]
        return result

    return keep


def check_element(x: Tensor, shape: tuple[int, ...], channels: str = "H") -> None:
    """Refuse what is not one element of every row and channel of a state.

    Of one row or channel it would be heard by all of them.

    Args:
        x: the element.
        shape: (rows, channels) of the state.
        channels: what the caller calls their number.

    Raises:
        ValueError: it is not.
    """
    if x.shape != shape:
        raise ValueError(f"need x (batch, {channels}), {tuple(shape)} here; got {tuple(x.shape)}")


def leaves(state: Any) -> list[Tensor]:
    """The tensors of a (nested) state, in order."""
    if isinstance(state, Tensor):
        return [state]
    return [leaf for part in state for leaf in leaves(part)]


def with_leaves(state: Any, tensors: Iterable[Tensor]) -> Any:
    """A state of the same form that holds these tensors, in order."""
    return _fill(state, iter(tensors))


def _fill(state: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(state, Tensor):
        return next(tensors)
    parts = [_fill(part, tensors) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _freeze(module: nn.Module | None) -> nn.Module | None:
    if isinstance(module, StreamingLayer):
        return module.frozen()
    if isinstance(module, nn.ModuleList):
        return nn.ModuleList([_freeze(part) or part for part in module])
    return module
