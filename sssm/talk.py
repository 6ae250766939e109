"""How much is being said: amid talk a word is rarely a command.

What a spotter hears by mistake are nearly always words of sentences, and what is said to it mostly
stands alone.  So the odds that a keyword is said are multiplied by what is known before it is
heard: by (1 - 0.99 talk) ** caution for each of three memories.  Their talk, in [0, 1], is the
score of `_unknown_` through leaky means one after the other: that of a phrase (0.8 s), of a
sentence (3 s) and of a conversation (12 s).  A single word before a keyword hardly moves them, and
once a sentence has ended the shortest soon forgets it.

Decided here: the numbers of one frame and of many are the same to the last bit.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

KEEPS = (0.96, 0.99, 0.9975)  # of a mean, from frame to frame: time constants of 0.25, 1 and 4 s
STAGES = 3  # means one after the other
MOST = 0.99  # share of talk that counts, so that nothing is ever impossible

Number = TypeVar("Number", float, NDArray[np.float64])


def no_talk(rows: int) -> NDArray[np.float64]:
    """(rows, memories, STAGES) of streams that have heard nothing."""
    return np.zeros((rows, len(KEEPS), STAGES))


def prior_of_frame(
    unknown: float, talk: list[list[float]], caution: int
) -> tuple[float, list[list[float]]]:
    """`prior` of one frame of one row, in Python's numbers, which are faster for so few."""
    talk = [_after(unknown, keep, means) for keep, means in zip(KEEPS, talk, strict=True)]
    return _known(*(means[-1] for means in talk), caution=caution), talk


def prior(
    unknown: NDArray[Any], talk: NDArray[Any], caution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rows, frames) what the odds of a keyword are multiplied by, and the talk after them.

    Args:
        unknown: (rows, frames) scores of `_unknown_`.
        talk: (rows, memories, STAGES) after the frames before, the last stage of each what counts.
        caution: how much it counts; 0 leaves the odds as they are.
    """
    if len(unknown) == 1:
        now, known = talk[0].tolist(), []
        for score in unknown[0].tolist():
            one, now = prior_of_frame(score, now, caution)
            known.append(one)
        return np.array([known], np.float64), np.array([now])
    keep = np.array(KEEPS)[:, None]
    said, after = np.empty((*unknown.shape, len(KEEPS))), talk.copy()
    before = np.empty_like(after)
    for t in range(unknown.shape[1]):
        before[:, :, 0], before[:, :, 1:] = unknown[:, t : t + 1], after[:, :, :-1]
        after = keep * after + (1 - keep) * before
        said[:, t] = after[:, :, -1]
    return _known(*np.moveaxis(said, 2, 0), caution=caution), after


def _after(unknown: float, keep: float, means: list[float]) -> list[float]:
    """The means of one memory after one more frame."""
    (a, b, c), take = means, 1 - keep
    return [keep * a + take * unknown, keep * b + take * a, keep * c + take * b]


def _known(phrase: Number, sentence: Number, conversation: Number, *, caution: int) -> Number:
    """What the odds are multiplied by."""
    quiet = (1 - MOST * phrase) * (1 - MOST * sentence) * (1 - MOST * conversation)
    known = quiet if caution else quiet**0
    for _ in range(caution - 1):  # not a power, whose last bit hangs on who works it out
        known = known * quiet
    return known
