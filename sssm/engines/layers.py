"""Any model, live, by its own layers."""

from typing import Any

import torch

from sssm.audio import Samples
from sssm.engines.engine import Run, State
from sssm.layers.contract import leaves, with_leaves
from sssm.model import KeywordModel, ModelState


class LayerEngine:
    """A frozen model as it is.

    Its counter of samples, which all rows would have to share, stays outside of the state: `before`
    stands for it.  The clip's answer is no part of a stream.
    """

    def __init__(self, model: KeywordModel):
        self._model = model
        self._first = model.init_state(1)
        self._is_row = [leaf.ndim > 0 for leaf in leaves(_of_stream(self._first))]

    def init_state(self, rows: int) -> State:
        parts = leaves(_of_stream(self._model.init_state(rows)))
        kept = zip(parts, self._is_row, strict=True)
        return tuple(part.numpy() for part, is_row in kept if is_row)

    @torch.inference_mode()
    def run(self, x: Samples, before: int, state: State, out: State | None = None) -> Run:
        parts = iter(map(torch.from_numpy, state))
        counter = torch.tensor(before)
        tensors = [next(parts) if is_row else counter for is_row in self._is_row]
        front, blocks, pool = with_leaves(_of_stream(self._first), tensors)
        start = ModelState(front, blocks, pool, self._first.clip)
        samples = x if x.flags.writeable else x.copy()  # torch warns of what it may not write to
        logits, after = self._model.decide(torch.from_numpy(samples)[..., None], start)
        kept = zip(leaves(_of_stream(after)), self._is_row, strict=True)
        rows = tuple(part.numpy() for part, is_row in kept if is_row)
        return Run(logits.softmax(dim=-1).numpy(), logits.numpy(), rows)


def _of_stream(state: ModelState) -> Any:
    """All but the clip's answer."""
    return (state.front, state.blocks, state.pool)
