"""How much is being said: amid talk a word is rarely a command.

What a spotter hears by mistake are nearly always words of sentences, and what is said to it mostly
stands alone.  So the odds of every keyword are multiplied by what is known before it is heard,
(1 - talk) ** caution.  Talk, in [0, 1], is the score of `_unknown_` through leaky means one after
the other, that of some two seconds: a single word before a keyword hardly moves it.

Decided here: the numbers of one frame and of many are the same to the last bit.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

STAGES = 3
KEEP = 0.98  # of a mean, from frame to frame: a time constant of half a second
TAKE = 1 - KEEP
MOST = 0.99  # that talk counts for, so that nothing is ever impossible

Number = TypeVar("Number", float, NDArray[np.float64])


def weighed_frame(
    scores: list[float], unknown: float, talk: list[float], caution: int
) -> tuple[list[float], list[float]]:
    """`weighed` of one frame of one row, in Python's numbers, which are faster for so few."""
    talk = [KEEP * own + TAKE * before for own, before in zip(talk, [unknown, *talk], strict=False)]
    prior = _prior(talk[-1], caution)
    return [_posterior(score, prior) for score in scores], talk


def weighed(
    scores: NDArray[np.float64], unknown: NDArray[np.float64], talk: NDArray[Any], caution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of keywords with what is known before they are heard, and the talk after them.

    Args:
        scores: (rows, frames, keywords) in [0, 1].
        unknown: (rows, frames) scores of `_unknown_`.
        talk: (rows, STAGES) after the frames before, the last of them what counts; zeros at first.
        caution: how much it counts; 0 leaves the scores as they are.
    """
    chain = np.concatenate([unknown[:, :1], talk], axis=1)
    said = np.empty(unknown.shape)
    for t in range(unknown.shape[1]):
        chain[:, 0] = unknown[:, t]
        chain[:, 1:] = KEEP * chain[:, 1:] + TAKE * chain[:, :-1]
        said[:, t] = chain[:, -1]
    return _posterior(scores, _prior(said, caution)[:, :, None]), chain[:, 1:].copy()


def _prior(talk: Number, caution: int) -> Number:
    """What the odds are multiplied by."""
    quiet = 1 - MOST * talk
    prior = quiet**0
    for _ in range(caution):  # not a power, whose last bit hangs on who works it out
        prior = prior * quiet
    return prior


def _posterior(score: Number, prior: Number) -> Number:
    return prior * score / (prior * score + (1 - score))
