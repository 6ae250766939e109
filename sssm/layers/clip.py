"""A clip's one answer from the logits of its frames, as a recurrence."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sssm.layers.sums import sums_of
from sssm.timing import FRAMES_A_MEAN


class ClipState(NamedTuple):
    """What a `ClipAnswer` remembers."""

    answer: Tensor  # (batch, classes) log-mean-exp of the means so far
    partial: Tensor  # (batch, classes) sum of the frames of the unfinished mean
    frames: Tensor  # () int64 heard so far, the same for all rows


class ClipAnswer(nn.Module):
    """Log-mean-exp over time of 50 ms means of the logits, plus a learned offset of each class.

    The word may stand anywhere in the clip: the loudest evidence decides, not the last frame.

    Args:
        classes: columns of the logits.
    """

    def __init__(self, *, classes: int):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(classes))

    def init_state(self, batch: int) -> ClipState:
        zeros = self.offset.new_zeros(batch, self.offset.shape[0])
        frames = torch.zeros((), dtype=torch.int64, device=zeros.device)
        return ClipState(zeros, zeros.clone(), frames)

    def listen(self, logits: Tensor, state: ClipState) -> ClipState:
        """State after more frames: logits (batch, frames, classes)."""
        logits = logits.to(self.offset.dtype)  # under mixed precision too
        before = int(state.frames)
        frames = torch.full_like(state.frames, before + logits.shape[1])
        sums, partial = sums_of(logits, FRAMES_A_MEAN, before % FRAMES_A_MEAN, state.partial)
        whole = sums.shape[1]
        if whole == 0:
            return ClipState(state.answer.clone(), partial, frames)
        new = torch.logsumexp(sums / FRAMES_A_MEAN, dim=1)
        return ClipState(self._join(state, new, whole), partial, frames)

    def answer(self, state: ClipState) -> Tensor:
        """(batch, classes) logits of the clip so far; an unfinished mean counts as one.

        Raises:
            ValueError: no frame was heard.
        """
        frames = int(state.frames)
        if frames == 0:
            raise ValueError("a clip has no answer before its first frame of 10 ms")
        unfinished = frames % FRAMES_A_MEAN
        if unfinished == 0:
            return state.answer + self.offset
        return self._join(state, state.partial / unfinished, 1) + self.offset

    def _join(self, state: ClipState, new: Tensor, means: int) -> Tensor:
        """Log-mean-exp of the means before and of `means` more whose log-sum-exp is `new`."""
        before = int(state.frames) // FRAMES_A_MEAN
        if before == 0:
            return new - math.log(means)
        return torch.logaddexp(state.answer + math.log(before), new) - math.log(before + means)
