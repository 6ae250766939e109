"""Some models that listen as one: an ensemble, by the mean of their logits.

Models of other layers make other mistakes, and what fires by mistake is rarely the same place.  The
state of an ensemble is its members' states, one after the other, so it keeps what they keep: any
chunking gives the same numbers.
"""

from collections.abc import Sequence

import numpy as np

from sssm.audio import Samples
from sssm.engines.engine import Engine, Logits, Run, State, softmax


class MeanEngine:
    """Engines of models with the same labels, at one rate, as one engine.

    Args:
        engines: at least one.
    """

    def __init__(self, engines: Sequence[Engine]):
        self._engines = tuple(engines)
        self._sizes = [len(engine.init_state(1)) for engine in engines]  # arrays of each's state

    def init_state(self, rows: int) -> State:
        return tuple(part for engine in self._engines for part in engine.init_state(rows))

    def run(self, x: Samples, before: int, state: State, out: State | None = None) -> Run:
        """Scores are proportional to the geometric mean of the members' scores."""
        runs, first = [], 0
        for engine, size in zip(self._engines, self._sizes, strict=True):
            own = slice(first, first + size)
            runs.append(engine.run(x, before, state[own], None if out is None else out[own]))
            first += size
        logits: Logits = np.mean([run.logits for run in runs], axis=0, dtype=np.float32)
        return Run(softmax(logits), logits, tuple(part for run in runs for part in run.state))
