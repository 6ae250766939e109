"""Thresholds from counts: of false accepts in recordings without a keyword, and of misses.

Decided here: which thresholds are sensible, how the false accepts that one allows are shared among
the keywords, and what an operating curve is.  What counts as a false accept or a miss, the caller
decides.  Of H hours without a false accept one knows, at 95%, no more than that there are fewer
than 3 / H an hour: lower rates cannot be measured there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

LOWEST, HIGHEST = 0.2, 0.9999  # sensible thresholds
STEP, CURVE_STEP = 0.1, 0.2  # of the grid and of a curve, in logit
EVENTS_MEASURABLE = 3.0  # expected in the hours heard, for a rate to be measured there
DIGITS = 6  # of a threshold


class Point(NamedTuple):
    """One place of an operating curve."""

    thresholds: dict[str, float]
    false_accepts: Counts  # (keywords,)
    misses: Counts  # (keywords,)


def logit(share: float) -> float:
    """Logarithm of the odds."""
    return math.log(share / (1 - share))


def threshold_grid(lowest: float = LOWEST, highest: float = HIGHEST) -> list[float]:
    """Thresholds from low to high, at even spacing in logit."""
    steps = math.ceil((logit(highest) - logit(lowest)) / STEP)
    between = np.linspace(logit(lowest), logit(highest), steps + 1)[1:-1]
    return [lowest, *(round(_share(x), DIGITS) for x in between.tolist()), highest]


def shifted(thresholds: Mapping[str, float], shift: float, lowest: float) -> dict[str, float]:
    """All thresholds moved by as much in logit, and none beyond what is sensible."""
    low, high = logit(lowest), logit(HIGHEST)
    places = {
        keyword: min(max(logit(min(value, HIGHEST)) + shift, low), high)
        for keyword, value in thresholds.items()
    }
    return {
        keyword: lowest if place == low else round(_share(place), DIGITS)
        for keyword, place in places.items()
    }


def measurable(rate: float, hours: float) -> bool:
    """Whether so many hours can tell a rate an hour from none."""
    return rate * hours >= EVENTS_MEASURABLE


def choose(
    grid: Sequence[float], false_accepts: Counts, misses: Counts | None, allowed: int
) -> list[int]:
    """For every keyword the number of its threshold in the grid.

    With misses the false accepts that are allowed go, one purchase after the other, where each
    saves most misses, and a keyword's threshold is the middle of those that have as few misses.
    Without, every keyword gets an equal share; what is left over goes where a false accept lowers
    a threshold most.  A keyword that never fires falsely gets the lowest threshold of the grid, or
    with misses the middle of those that miss no more.

    Args:
        grid: from low to high.
        false_accepts: (grid, keywords), each keyword alone.
        misses: likewise; None where no recordings of the keywords are known.
        allowed: false accepts of all keywords together.
    """
    offers = [_offers(false_accepts[:, k]) for k in range(false_accepts.shape[1])]
    taken = [0] * len(offers)
    if misses is None:
        share = allowed // len(offers)
        taken = [max([n for n, (cost, _) in enumerate(of) if cost <= share], default=0)
                 for of in offers]  # fmt: skip
        places = np.array([logit(x) for x in grid])
        worth = np.repeat(places[:, None], len(offers), axis=1)  # how high a threshold is
    else:
        worth = np.array(misses, float)
    left = allowed - sum(of[n].cost for of, n in zip(offers, taken, strict=True))
    while (bought := _best(offers, taken, worth, left)) is not None:
        keyword, n = bought
        left -= offers[keyword][n].cost - offers[keyword][taken[keyword]].cost
        taken[keyword] = n
    chosen = [of[n].lowest for of, n in zip(offers, taken, strict=True)]
    if misses is None:
        return chosen
    return [_middle(misses[:, k], lowest) for k, lowest in enumerate(chosen)]


def settle(
    keywords: Sequence[str],
    grid: Sequence[float],
    chosen: Sequence[int],
    count: Callable[[Mapping[str, float]], Counts],
    allowed: int,
) -> dict[str, float]:
    """The thresholds that were chosen, raised until all keywords together keep to what is allowed.

    Keywords alone and together differ a little: of two that would fire at once only one does, and
    the other may then do so later.

    Args:
        keywords: in the order of the numbers.
        grid: from low to high.
        chosen: number of each keyword's threshold.
        count: thresholds -> (keywords,) false accepts of all together.
        allowed: false accepts of all keywords together.
    """
    places = list(chosen)
    while True:
        thresholds = {k: grid[place] for k, place in zip(keywords, places, strict=True)}
        counted = count(thresholds)
        may_rise = np.array(places) < len(grid) - 1
        if counted.sum() <= allowed or not (counted * may_rise).any():
            return thresholds
        places[int(np.argmax(counted * may_rise))] += 1


def curve(
    thresholds: Mapping[str, float],
    count: Callable[[Mapping[str, float]], tuple[Counts, Counts]],
    *,
    lowest: float,
    most: float,
) -> list[Point]:
    """Operating curve of one common shift, from high thresholds to low ones.

    Args:
        thresholds: of shift 0.
        count: thresholds -> (keywords,) false accepts, (keywords,) misses.
        lowest: threshold of the curve.
        most: false accepts of all keywords, beyond which the curve is of no interest.
    """
    places = [logit(min(x, HIGHEST)) for x in thresholds.values()]
    first = math.ceil((logit(HIGHEST) - min(places)) / CURVE_STEP)
    last = math.floor((logit(lowest) - max(places)) / CURVE_STEP)
    points: list[Point] = []
    for step in range(first, last - 1, -1):
        moved = shifted(thresholds, step * CURVE_STEP, lowest)
        if points and moved == points[-1].thresholds:
            continue
        points.append(Point(moved, *count(moved)))
        if points[-1].false_accepts.sum() > most:
            break
    return points


def best_point(points: Sequence[Point], allowed: float) -> Point | None:
    """The fewest misses of all keywords with at most so many false accepts; then the fewest those.

    None where even the highest thresholds have more.
    """
    fit = [point for point in points if point.false_accepts.sum() <= allowed]
    if not fit:
        return None
    return min(fit, key=lambda point: (point.misses.sum(), point.false_accepts.sum()))


class _Offer(NamedTuple):
    cost: int  # false accepts
    lowest: int  # number of the lowest threshold that has no more, nor any above it


def _offers(false_accepts: Counts) -> list[_Offer]:
    """From few false accepts to many."""
    most = np.maximum.accumulate(false_accepts[::-1])[::-1]  # at this threshold and above
    return [_Offer(int(cost), int(np.argmax(most <= cost))) for cost in np.unique(most)]


def _best(
    offers: list[list[_Offer]], taken: list[int], worth: NDArray[np.float64], left: int
) -> tuple[int, int] | None:
    """Keyword and offer that lowers `worth` most a false accept; None where none does."""
    best, found = 0.0, None
    for keyword, (of, now) in enumerate(zip(offers, taken, strict=True)):
        before = worth[of[now].lowest :, keyword].min()
        for n in range(now + 1, len(of)):
            cost = of[n].cost - of[now].cost
            gain = float(before - worth[of[n].lowest :, keyword].min()) / cost
            if cost <= left and gain > best:
                best, found = gain, (keyword, n)
    return found


def _middle(misses: Counts, lowest: int) -> int:
    """Middle of the thresholds from `lowest` on that miss least."""
    least = np.flatnonzero(misses[lowest:] == misses[lowest:].min()) + lowest
    return int(least[len(least) // 2]) if len(least) else lowest


def _share(place: float) -> float:
    return 1 / (1 + math.exp(-place))
