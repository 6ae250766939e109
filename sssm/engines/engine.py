"""What every engine promises."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sssm.audio import Samples

State = tuple[NDArray[Any], ...]
"""What a stream's model remembers: arrays of numbers, streams first."""

Logits = NDArray[np.float32]


class Engine(Protocol):
    """A model at one rate of audio, with everything derived from its weights."""

    def init_state(self, rows: int) -> State:
        """State of streams that heard nothing."""

    def run(self, x: Samples, before: int, state: State) -> tuple[Logits, State]:
        """Logits (rows, frames, classes) of whole frames, and the next state.

        Args:
            x: (rows, samples) of at least one frame; the last sample ends one.
            before: samples before the first, or any other place of the same phase, where a frame
                ends: frames take turns to be one sample longer where 100 does not divide the rate.
            state: of the samples before; it is left as it is.
        """
