"""Exact 95% intervals of counts: what may be said of a rate or a share after so many events."""

import math
from collections.abc import Callable

BEYOND = 0.05  # probability that the truth is outside


def poisson_interval(count: int) -> tuple[float, float]:
    """Expected counts between which the truth lies, two-sided; divide by the hours for a rate.

    Source: Garwood 1936, Biometrika 28.
    """
    low = 0.0 if count == 0 else _falling(lambda mu: _poisson(count - 1, mu), 1 - BEYOND / 2)
    return low, _falling(lambda mu: _poisson(count, mu), BEYOND / 2)


def poisson_upper(count: int) -> float:
    """Expected count that the truth does not exceed, one-sided: 3.0 where none was seen."""
    return _falling(lambda mu: _poisson(count, mu), BEYOND)


def binomial_interval(count: int, trials: int) -> tuple[float, float]:
    """Shares between which the truth lies, two-sided; all of them where nothing was tried.

    Source: Clopper and Pearson 1934, Biometrika 26.
    """
    low, high = 0.0, 1.0
    if count > 0:
        low = _bisect(lambda p: _binomial(count - 1, trials, p), 1 - BEYOND / 2, 0.0, 1.0)
    if count < trials:
        high = _bisect(lambda p: _binomial(count, trials, p), BEYOND / 2, 0.0, 1.0)
    return low, high


def _poisson(most: int, mu: float) -> float:
    """Probability of at most so many events where `mu` > 0 are expected."""
    logarithm = math.log(mu)
    return math.fsum(math.exp(n * logarithm - mu - math.lgamma(n + 1)) for n in range(most + 1))


def _binomial(most: int, trials: int, p: float) -> float:
    """Probability of at most so many successes, 0 < p < 1."""
    yes, no, all_ways = math.log(p), math.log1p(-p), math.lgamma(trials + 1)
    return math.fsum(
        math.exp(
            all_ways
            - math.lgamma(n + 1)
            - math.lgamma(trials - n + 1)
            + n * yes
            + (trials - n) * no
        )
        for n in range(most + 1)
    )


def _falling(function: Callable[[float], float], value: float) -> float:
    """Where a function that falls from 1 at 0 to 0 has this value."""
    high = 1.0
    while function(high) > value:
        high *= 2
    return _bisect(function, value, 0.0, high)


def _bisect(function: Callable[[float], float], value: float, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        if function(middle) > value:
            low = middle
        else:
            high = middle
    return (low + high) / 2
