"""A whole recording's one answer, from an exported file: see `sssm.layers.clip`."""

import numpy as np
from numpy.typing import NDArray

from sssm.engines.engine import Logits

FRAMES_A_MEAN = 5


class ClipAnswer:
    """Log-mean-exp over time of 50 ms means of the logits, plus each label's offset.

    It hears one recording, piece by piece.

    Args:
        offset: of every label.
    """

    def __init__(self, offset: tuple[float, ...]):
        self._offset = np.array(offset, np.float64)
        self._waiting = np.zeros((0, len(offset)))  # logits of the unfinished mean
        self._sum = np.full(len(offset), -np.inf)  # log-sum-exp of the means so far
        self._means = 0

    def listen(self, logits: Logits) -> None:
        """More frames, (frames, classes)."""
        rows = np.concatenate([self._waiting, logits])
        whole = len(rows) // FRAMES_A_MEAN
        means = rows[: whole * FRAMES_A_MEAN].reshape(whole, FRAMES_A_MEAN, -1).mean(axis=1)
        for mean in means:
            self._sum = np.logaddexp(self._sum, mean)
        self._means += whole
        self._waiting = rows[whole * FRAMES_A_MEAN :]

    def scores(self) -> NDArray[np.float64]:
        """(classes,) probabilities for what was heard; an unfinished mean counts as one.

        Raises:
            ValueError: no frame was heard.
        """
        total, means = self._sum, self._means
        if len(self._waiting):
            total, means = np.logaddexp(total, self._waiting.mean(axis=0)), means + 1
        if not means:
            raise ValueError("a clip has no answer before its first frame of 10 ms")
        logits = total - np.log(means) + self._offset
        exponentials = np.exp(logits - logits.max())
        probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
        return probabilities
