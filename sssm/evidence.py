"""What a frame says for each keyword: that one is said at all, for the likeliest of them.

In noise words that sound alike share what is heard, "go" and "no" say, and neither might reach its
threshold though it is clear that it was one of them.  So the likeliest keyword of a frame counts
with the scores of all.  `training/LOG.md` has what it is worth.

Decided here: the numbers of one frame and of many are the same to the last bit.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray


def evidence_of_frame(scores: Sequence[float], prior: float) -> list[float]:
    """`evidence` of one frame of one row, in Python's numbers, which are faster for so few."""
    total = min(reduce(add, scores, 0.0), 1.0)  # not `sum`, which rounds otherwise since 3.12
    likely = prior * total + (1 - total)
    found = [prior * score / likely for score in scores]
    if found:
        found[scores.index(max(scores))] = prior * total / likely
    return found


def evidence(scores: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of keywords after what is known before; the likeliest of a frame has those of all.

    With S the sum of a frame's scores, that a keyword is said has odds S / (1 - S) times the prior.

    Args:
        scores: (rows, frames, keywords) in [0, 1]; a sum above 1 counts as 1.
        prior: (rows, frames) what the odds are multiplied by, above 0.
    """
    total = np.zeros(scores.shape[:2])
    for column in np.moveaxis(scores, 2, 0):
        total += column
    total = np.minimum(total, 1)
    likely = prior * total + (1 - total)
    found: NDArray[Any] = prior[:, :, None] * scores / likely[:, :, None]
    if found.shape[2]:
        likeliest = scores.argmax(axis=2)[:, :, None]
        np.put_along_axis(found, likeliest, (prior * total / likely)[:, :, None], axis=2)
    return found
