"""How much is being said: amid talk a word is rarely a command.

What a spotter hears by mistake are nearly always words of sentences, and what is said to it mostly
stands alone.  So the odds that a keyword is said are multiplied by what is known before it is
heard, (1 - 0.99 talk) ** caution.  Talk, in [0, 1], is the score of `_unknown_` through leaky
means one after the other, that of some two seconds: a single word before a keyword hardly moves it.

Decided here: the numbers of one frame and of many are the same to the last bit.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

STAGES = 3
KEEP = 0.98  # of a mean, from frame to frame: a time constant of half a second
TAKE = 1 - KEEP
MOST = 0.99  # share of talk that counts, so that nothing is ever impossible

Number = TypeVar("Number", float, NDArray[np.float64])


def prior_of_frame(unknown: float, talk: list[float], caution: int) -> tuple[float, list[float]]:
    """`prior` of one frame of one row, in Python's numbers, which are faster for so few."""
    talk = _after(unknown, talk)
    return _known(talk[-1], caution), talk


def prior(
    unknown: NDArray[Any], talk: NDArray[Any], caution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rows, frames) what the odds of a keyword are multiplied by, and the talk after them.

    Args:
        unknown: (rows, frames) scores of `_unknown_`.
        talk: (rows, STAGES) after the frames before, the last of them what counts; zeros at first.
        caution: how much it counts; 0 leaves the odds as they are.
    """
    if len(unknown) == 1:
        now, known = talk[0].tolist(), []
        for score in unknown[0].tolist():
            now = _after(score, now)
            known.append(_known(now[-1], caution))
        return np.array([known], np.float64), np.array([now])
    said, after = np.empty(unknown.shape), talk.copy()
    for t in range(unknown.shape[1]):
        before = np.concatenate([unknown[:, t : t + 1], after[:, :-1]], axis=1)
        after = KEEP * after + TAKE * before
        said[:, t] = after[:, -1]
    return _known(said, caution), after


def _after(unknown: float, talk: list[float]) -> list[float]:
    """The means after one more frame."""
    a, b, c = talk
    return [KEEP * a + TAKE * unknown, KEEP * b + TAKE * a, KEEP * c + TAKE * b]


def _known(talk: Number, caution: int) -> Number:
    """What the odds are multiplied by."""
    quiet = 1 - MOST * talk
    known = quiet if caution else quiet**0
    for _ in range(caution - 1):  # not a power, whose last bit hangs on who works it out
        known = known * quiet
    return known
