"""The one contract that every layer keeps: any chunking gives the same numbers.

`tests/streaming.py` holds each layer, and the whole model, to it.
"""

from typing import Generic, TypeVar

from torch import Tensor, nn

StateT = TypeVar("StateT", bound=tuple)


class StreamingLayer(nn.Module, Generic[StateT]):
    """A causal layer that gives the same answer in one piece or in many.

    forward(cat(p, q), s) == cat(forward(p, s), forward(q, s')) for every split, where s' is the
    state that the first call returned.  A state is a value, a `NamedTuple` of tensors: it is never
    changed in place and never kept by the layer.  Length 0 and 1 are chunks too.
    """

    def init_state(self, batch: int) -> StateT:
        """State of silence: what has been heard before the first element."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: StateT | None = None) -> tuple[Tensor, StateT]:
        """(batch, length, channels) -> (batch, length, channels), and the next state."""
        raise NotImplementedError

    def step(self, x: Tensor, state: StateT) -> tuple[Tensor, StateT]:
        """(batch, channels) -> (batch, channels), and the next state: `forward` on one element."""
        raise NotImplementedError
