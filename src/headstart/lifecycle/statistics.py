"""Exact and closed-form statistics of the gate and the diagnosis: no library needed."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = [
    "binomial_tail",
    "bootstrap_bounds",
    "holm",
    "normal_quantile",
    "sign_flip_p",
    "tango_bound",
    "tango_statistic",
]

Array = np.ndarray[Any, Any]


def normal_quantile(probability: float) -> float:
    """The standard normal quantile."""
    return NormalDist().inv_cdf(probability)


def binomial_tail(successes: int, trials: int) -> float:
    """P(Bin(trials, 1/2) >= successes), exact: a ratio of whole numbers."""
    if successes <= 0:
        return 1.0
    if successes > trials:
        return 0.0
    term, total = math.comb(trials, successes), 0
    for k in range(successes, trials + 1):
        total += term
        term = term * (trials - k) // (k + 1)
    # Division of whole numbers stays exact where 2^trials is beyond floats.
    return total / (1 << trials)


def tango_statistic(b: int, c: int, n: int, delta: float) -> float:
    """Tango's score statistic for a difference of paired proportions.

    With ``A = 2n``, ``B = -b - c + (2n - b + c) D``, ``C = -c D (1 - D)`` and
    ``q = (sqrt(B^2 - 4 A C) - B) / (2 A)``::

        Z(D) = (b - c - n D) / sqrt(n (2 q + D (1 - D)))

    Args:
        b: pairs old wrong, new right.
        c: pairs old right, new wrong.
        n: all pairs, at least b + c.
        delta: D, the hypothesized value of (b - c) / n, in (-1, 1).

    Source: Tango, Statistics in Medicine 17 (1998).
    """
    if delta < 0:  # the closed form is written for D >= 0; the other side is its mirror
        return -tango_statistic(c, b, n, -delta)
    quadratic, linear = 2.0 * n, -b - c + (2.0 * n - b + c) * delta
    constant = -c * delta * (1.0 - delta)
    q = (math.sqrt(max(0.0, linear * linear - 4 * quadratic * constant)) - linear) / (2 * quadratic)
    variance = n * (2 * q + delta * (1 - delta))
    gap = b - c - n * delta
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def tango_bound(b: int, c: int, n: int, z: float, *, upper: bool) -> float:
    """One-sided score bound of (b - c) / n: the D with Z(D) = z (lower) or -z (upper), by bisection."""
    if upper:
        return -tango_bound(c, b, n, z, upper=False)
    low, high = -1.0, (b - c) / n
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if tango_statistic(b, c, n, middle) > z:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def bootstrap_bounds(
    sums: Array, sizes: Array, alpha: float, *, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """One-sided lower and upper bound of a mean difference, by groups.

    Groups are drawn with replacement; each draw's value is the sum of differences over the number of
    items. Few groups make a percentile bootstrap too narrow, so the wider of it and of a Student bound
    on the group means (linearized ratio) is taken on each side.

    Args:
        sums: (g,) sum of the differences in each group.
        sizes: (g,) number of items in each group.
        alpha: error rate of each bound.
        draws: bootstrap draws.
        seed: of the draws; the same input gives the same bounds.
    """
    groups, mean = len(sums), float(sums.sum() / sizes.sum())
    if groups < 2:
        return -math.inf, math.inf
    random = np.random.default_rng(seed)
    values = np.empty(draws)
    chunk = max(1, 2_000_000 // groups)
    for begin in range(0, draws, chunk):
        index = random.integers(0, groups, size=(min(chunk, draws - begin), groups))
        values[begin : begin + len(index)] = sums[index].sum(1) / sizes[index].sum(1)
    low, high = (float(v) for v in np.quantile(values, [alpha, 1 - alpha]))
    residual = (sums - mean * sizes) / sizes.mean()
    half = student_quantile(1 - alpha, groups - 1) * float(residual.std(ddof=1)) / math.sqrt(groups)
    return min(low, mean - half), max(high, mean + half)


def sign_flip_p(sums: Array, *, draws: int = 10_000, seed: int = 0) -> float:
    """One-sided p-value that the mean difference is above 0, by flipping the sign of whole groups.

    Exact (all 2^g sign patterns) up to 14 groups; above that by seeded draws, counting the observed
    pattern as one of them. Assumes that without a difference each group's sum is symmetric about 0.
    """
    groups, observed = len(sums), float(sums.sum())
    tolerance = 1e-12 * float(np.abs(sums).sum())
    if groups <= 14:
        patterns = (np.arange(2**groups)[:, None] >> np.arange(groups)) & 1
        totals = (1 - 2 * patterns) @ sums
        return float((totals >= observed - tolerance).mean())
    random = np.random.default_rng(seed)
    count = 0
    chunk = max(1, 2_000_000 // groups)
    for begin in range(0, draws, chunk):
        signs = 1 - 2 * random.integers(0, 2, size=(min(chunk, draws - begin), groups))
        count += int((signs @ sums >= observed - tolerance).sum())
    return (count + 1) / (draws + 1)


def holm(p_values: Array) -> Array:
    """Holm's adjusted p-values: the family-wise error rate stays at alpha whatever their dependence."""
    order = np.argsort(p_values, kind="stable")
    count = len(p_values)
    adjusted = np.maximum.accumulate((count - np.arange(count)) * p_values[order])
    result = np.empty(count)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t, by bisection of its distribution function (probability >= 1/2)."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = 0.5 * (low + high)
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _student_cdf(t: float, freedom: int) -> float:
    # Closed form for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    if freedom % 2:
        total, term = 0.0, cosine
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        inside = 2 / math.pi * (theta + (sine * total if freedom > 1 else 0.0))
    else:
        total, term = 0.0, 1.0
        for k in range(0, freedom - 1, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        inside = sine * total
    return 0.5 + 0.5 * inside
