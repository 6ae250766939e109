"""What every engine promises."""

from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sssm.audio import Samples

State = tuple[NDArray[Any], ...]
"""What a stream's model remembers: arrays of numbers, streams first."""

FloatT = TypeVar("FloatT", bound=np.floating)
Logits = NDArray[np.float32]
Scores = NDArray[np.float32]


class Run(NamedTuple):
    """What an engine says of some frames."""

    scores: Scores  # (rows, frames, classes) softmax of the logits
    logits: Logits
    state: State  # after them


class Engine(Protocol):
    """A model at one rate of audio, with everything derived from its weights."""

    def init_state(self, rows: int) -> State:
        """State of streams that heard nothing."""

    def run(self, x: Samples, before: int, state: State, out: State | None = None) -> Run:
        """Hear whole frames.

        The arrays of the next state are new ones or those of `out`, and are the caller's to write
        into; they share no memory with others.

        Args:
            x: (rows, samples) of at least one frame; the last sample ends one.
            before: samples before the first, or any other place of the same phase, where a frame
                ends: frames take turns to be one sample longer where 100 does not divide the rate.
            state: of the samples before; it is left as it is.
            out: another state that nobody needs, whose arrays may be written over.
        """


def softmax(logits: NDArray[FloatT]) -> NDArray[FloatT]:
    """Over the last axis."""
    exponentials: NDArray[FloatT] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: NDArray[FloatT] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return scores
