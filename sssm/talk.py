"""How much is being said: amid talk a word is rarely a command.

What a spotter hears by mistake are nearly always words of sentences, and what is said to it mostly
stands alone.  So the odds of every keyword are multiplied by what is known before it is heard,
(1 - talk) ** caution.  Talk, in [0, 1], is the score of `_unknown_` through leaky means one after
the other, that of some two seconds: a single word before a keyword hardly moves it.

Decided here: the numbers of one frame and of many are the same to the last bit.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

STAGES = 3
KEEP = 0.98  # of a mean, from frame to frame: a time constant of half a second
TAKE = 1 - KEEP
MOST = 0.99  # that talk counts for, so that nothing is ever impossible

Number = TypeVar("Number", float, NDArray[np.float64])


def weighed_frame(
    scores: Sequence[float], unknown: float, talk: list[float], caution: int
) -> tuple[list[float], list[float]]:
    """`weighed` of one frame of one row, in Python's numbers, which are faster for so few."""
    talk = _after(unknown, talk)
    prior = _prior(talk[-1], caution)
    return [prior * score / (prior * score + (1 - score)) for score in scores], talk


def weighed(
    scores: NDArray[np.float64], unknown: NDArray[Any], talk: NDArray[Any], caution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of keywords with what is known before they are heard, and the talk after them.

    Args:
        scores: (rows, frames, keywords) in [0, 1].
        unknown: (rows, frames) scores of `_unknown_`.
        talk: (rows, STAGES) after the frames before, the last of them what counts; zeros at first.
        caution: how much it counts; 0 leaves the scores as they are.
    """
    if len(unknown) == 1:
        now, priors = talk[0].tolist(), []
        for score in unknown[0].tolist():
            now = _after(score, now)
            priors.append(_prior(now[-1], caution))
        prior, after = np.array([priors]), np.array([now])
    else:
        said, after = np.empty(unknown.shape), talk.copy()
        for t in range(unknown.shape[1]):
            before = np.concatenate([unknown[:, t : t + 1], after[:, :-1]], axis=1)
            after = KEEP * after + TAKE * before
            said[:, t] = after[:, -1]
        prior = _prior(said, caution)
    odds = prior[:, :, None] * scores
    return odds / (odds + (1 - scores)), after


def _after(unknown: float, talk: list[float]) -> list[float]:
    """The means after one more frame."""
    a, b, c = talk
    return [KEEP * a + TAKE * unknown, KEEP * b + TAKE * a, KEEP * c + TAKE * b]


def _prior(talk: Number, caution: int) -> Number:
    """What the odds are multiplied by."""
    quiet = 1 - MOST * talk
    prior = quiet if caution else quiet**0
    for _ in range(caution - 1):  # not a power, whose last bit hangs on who works it out
        prior = prior * quiet
    return prior
