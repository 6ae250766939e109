"""Thresholds from counts: of false accepts in recordings without a keyword, and of misses.

Decided here: which thresholds are sensible, how many false accepts to expect where few were seen,
how those that one allows are shared among the keywords, and what an operating curve is.  What
counts as a false accept or a miss, the caller decides.  Of H hours without a false accept one
knows, at 95%, no more than that there are fewer than 3 / H an hour: lower rates cannot be measured
there.
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
ENOUGH = 25  # false accepts whose count is taken as it is
BELIEF = 8.0  # false accepts that what is known of the other keywords is worth
USUAL_REACH = 1.0  # in logit, of false accepts above a threshold; shipped models have 0.5 to 1.2
LEAST = 1.0  # false accepts that are expected at the fewest: a share of one cannot be aimed at
NONE_SEEN = 0.5  # false accepts to expect at the lowest threshold where none was seen
AROUND = 5  # thresholds of the grid
PRICES = np.geomspace(1e-3, 1e4, 700)
DIGITS = 6  # of a threshold


class Point(NamedTuple):
    """One place of an operating curve."""

    thresholds: dict[str, float]
    false_accepts: Counts  # (keywords,)
    misses: Counts  # (keywords,)


def logit(share: float) -> float:
    """Logarithm of the odds."""
    return math.log(share / (1 - share))


def logistic(place: float) -> float:
    """Inverse of `logit`."""
    return 1 / (1 + math.exp(-place))


def threshold_grid() -> list[float]:
    """The sensible thresholds from low to high, at even spacing in logit."""
    steps = math.ceil((logit(HIGHEST) - logit(LOWEST)) / STEP)
    between = np.linspace(logit(LOWEST), logit(HIGHEST), steps + 1)[1:-1]
    return [LOWEST, *(round(logistic(x), DIGITS) for x in between.tolist()), HIGHEST]


def shifted(thresholds: Mapping[str, float], shift: float, lowest: float) -> dict[str, float]:
    """All thresholds moved by as much in logit, and none beyond what is sensible."""
    low, high = logit(lowest), logit(HIGHEST)
    places = {
        keyword: min(max(logit(min(value, HIGHEST)) + shift, low), high)
        for keyword, value in thresholds.items()
    }
    return {
        keyword: lowest if place == low else round(logistic(place), DIGITS)
        for keyword, place in places.items()
    }


def measurable(rate: float, hours: float) -> bool:
    """Whether so many hours can tell a rate an hour from none."""
    return rate * hours >= EVENTS_MEASURABLE


def thresholds_within(
    keywords: Sequence[str],
    grid: Sequence[float],
    false_accepts: Counts,
    misses: Counts | None,
    count: Callable[[Mapping[str, float]], Counts],
    allowed: float,
) -> dict[str, float]:
    """Thresholds that keep to so many false accepts, of few misses where these are known.

    Args:
        keywords: in the order of the numbers.
        grid: from low to high.
        false_accepts: (grid, keywords), each keyword alone.
        misses: likewise; None where no recordings of the keywords are known.
        count: thresholds -> (keywords,) false accepts of all together.
        allowed: false accepts of all keywords together.
    """
    chosen = choose(grid, expected_counts(grid, false_accepts), misses, allowed)
    return raise_to_fit(keywords, grid, chosen, count, allowed)


def expected_counts(grid: Sequence[float], false_accepts: Counts) -> NDArray[np.float64]:
    """(grid, keywords) false accepts to expect where so many, of each keyword alone, were seen.

    Where there are `ENOUGH`, as many again.  At higher thresholds there are few, and whether there
    is one or none is luck: there a straight line goes on, the logarithm of the count over the
    logit, as the tail of a distribution that falls by as much at every step (Pickands 1975, Ann.
    Statist. 3, 119: excesses over a high threshold).  Its slope is that of most likelihood, drawn
    towards that of all keywords by as much as `BELIEF` false accepts would.

    Args:
        grid: from low to high.
        false_accepts: (grid, keywords).
    """
    # A lower threshold may fire once where a higher one fires twice: those above count too.
    counts = np.maximum.accumulate(false_accepts[::-1])[::-1].astype(np.float64)
    places = np.array([logit(x) for x in grid])
    steps = np.diff(places)
    first = [int(max(np.flatnonzero(column >= ENOUGH), default=0)) for column in counts.T]
    seen = np.array([counts[at, k] for k, at in enumerate(first)])
    # How far above the line's start they reach, all together: the area below the counts.
    reach = np.array([counts[at:-1, k] @ steps[at:] for k, at in enumerate(first)])
    usual = (reach.sum() + BELIEF * USUAL_REACH) / (seen.sum() + BELIEF)
    mean = (reach + BELIEF * usual) / (seen + BELIEF)
    above = np.maximum(places[:, None] - places[first], 0)
    line = np.maximum(seen, NONE_SEEN) * np.exp(-above / mean)
    return np.where(above > 0, line, np.maximum(counts, line))


def choose(
    grid: Sequence[float], expected: NDArray[np.float64], misses: Counts | None, allowed: float
) -> list[int]:
    """For every keyword the number of its threshold in the grid.

    With misses, those with the fewest of all keywords together: a false accept costs as many
    misses at every keyword.  Without, every keyword gets an equal share of what is allowed; so does
    one of which no recording is missed at any threshold, as where there is none of it.  Where too
    much is expected even so, the highest.

    Args:
        grid: from low to high.
        expected: (grid, keywords) false accepts of each keyword alone, see `expected_counts`.
        misses: likewise; None where no recordings of the keywords are known.
        allowed: false accepts of all keywords together; below `LEAST` as if it were that.
    """
    last, allowed = len(grid) - 1, max(allowed, LEAST)
    fits = expected <= allowed / expected.shape[1]
    equal = [int(min(np.flatnonzero(column), default=last)) for column in fits.T]
    if misses is None:
        return equal
    missed, is_missed = _smoothed(misses), misses.any(axis=0)
    for price in PRICES:  # of a false accept in misses, from cheap to dear
        chosen = np.where(is_missed, np.argmin(missed + price * expected, axis=0), equal)
        if expected[chosen, range(len(chosen))].sum() <= allowed:
            return [int(n) for n in chosen]
    return [last] * expected.shape[1]


def raise_to_fit(
    keywords: Sequence[str],
    grid: Sequence[float],
    chosen: Sequence[int],
    count: Callable[[Mapping[str, float]], Counts],
    allowed: float,
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
    """The point with the fewest misses among those with at most so many false accepts.

    Of several such, the one with the fewest false accepts; None where even the highest thresholds
    have more than is allowed.
    """
    fit = [point for point in points if point.false_accepts.sum() <= allowed]
    if not fit:
        return None
    return min(fit, key=lambda point: (point.misses.sum(), point.false_accepts.sum()))


def _smoothed(misses: Counts) -> NDArray[np.float64]:
    """Means over `AROUND` thresholds, so that no threshold sits at the very edge of a recording."""
    padded = np.pad(misses, ((AROUND // 2, AROUND // 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, AROUND, axis=0)
    return windows.mean(axis=2)
