"""Exact and closed-form statistics of the gate and the diagnosis: no library needed."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = [
    "binomial_tail",
    "bootstrap_bounds",
    "group_variance",
    "holm",
    "normal_quantile",
    "sign_flip_p",
    "student_quantile",
    "tango_bound",
    "tango_statistic",
]

Array = np.ndarray[Any, Any]
_EXACT_TRIALS = 1000
_EXACT_FLIPS = 16
# Up to so many different groups, draws count how often each kind occurs in place of drawing groups.
_FEW_KINDS = 64
_CELLS = 2_000_000
_MOST_DRAWN = 5_000
_MOST_FLIPPED = 2_000


def normal_quantile(probability: float) -> float:
    """The standard normal quantile."""
    return NormalDist().inv_cdf(probability)


def binomial_tail(successes: int, trials: int) -> float:
    """P(Bin(trials, 1/2) >= successes).

    A ratio of whole numbers up to 1,000 trials; above that a sum of ratios of neighbouring terms, exact
    to about ten digits.
    """
    if successes <= 0:
        return 1.0
    if successes > trials:
        return 0.0
    if trials > _EXACT_TRIALS:
        return _long_tail(successes, trials)
    term, total = math.comb(trials, successes), 0
    for k in range(successes, trials + 1):
        total += term
        term = term * (trials - k) // (k + 1)
    # Division of whole numbers stays exact where 2^trials is beyond floats.
    return total / (1 << trials)


def _long_tail(successes: int, trials: int) -> float:
    if 2 * successes <= trials:  # the other tail is the short one
        return 1.0 - _long_tail(trials - successes + 1, trials)
    k = np.arange(successes, trials, dtype=float)
    rest = float(np.cumprod((trials - k) / (k + 1)).sum())
    ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return math.exp(ways - trials * math.log(2)) * (1 + rest)


def tango_statistic(b: float, c: float, n: float, delta: float) -> float:
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
    quadratic, linear = 2.0 * n, -b - c + (2.0 * n - b + c) * delta
    constant = -c * delta * (1.0 - delta)
    root = math.sqrt(max(0.0, linear * linear - 4 * quadratic * constant))
    # Two forms of the same root: each subtracts nothing of equal size.
    q = (root - linear) / (2 * quadratic) if linear <= 0 else -2 * constant / (root + linear)
    variance = n * (2 * q + delta * (1 - delta))
    gap = b - c - n * delta
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def tango_bound(b: float, c: float, n: float, z: float, *, upper: bool) -> float:
    """One-sided score bound of (b - c) / n: the D with Z(D) = z (lower) or -z (upper), by bisection.

    Counts need not be whole: items in groups count as fewer.

    Args:
        b, c, n: as in :func:`tango_statistic`.
        z: normal quantile of one minus the error rate, at least 0.
        upper: which of the two bounds.
    """
    if upper:
        return -tango_bound(c, b, n, z, upper=False)
    low, high = -1.0, (b - c) / n
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):  # neighbouring floats
            return middle
        if tango_statistic(b, c, n, middle) > z:
            low = middle
        else:
            high = middle


def group_variance(sums: Array, sizes: Array) -> float:
    """Variance of one item's difference, what items of a group have in common allowed for.

    It is n times the squared standard error of the mean of n items (linearized ratio of sums over
    sizes); infinite for fewer than two groups.

    Args:
        sums: (g,) sum of the differences in each group.
        sizes: (g,) number of items in each group.
    """
    groups = len(sums)
    if groups < 2:
        return math.inf
    residual = sums - sums.sum() / sizes.sum() * sizes
    return float(residual.var(ddof=1)) / float(sizes.mean())


def bootstrap_bounds(
    sums: Array, sizes: Array, alpha: float, *, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """One-sided lower and upper bound of a mean difference, by groups.

    Groups are drawn with replacement; each draw's value is the sum of differences over the number of
    items. Few groups make a percentile bootstrap too narrow, so the wider of it and of a Student bound
    on the linearized ratio is taken on each side. Above 5,000 different groups the two agree and the
    Student bound stands alone. The bounds do not depend on the order of the groups, nor on how often
    every item is repeated within its group, and exchanging old and new mirrors them.

    Args:
        sums: (g,) sum of the differences in each group.
        sizes: (g,) number of items in each group.
        alpha: error rate of each bound, in (0, 0.5].
        draws: bootstrap draws.
        seed: of the draws; the same input gives the same bounds.

    Returns:
        Lower and upper bound; infinite for fewer than two groups.
    """
    groups = len(sums)
    if groups < 2:
        return -math.inf, math.inf
    mean = float(sums.sum() / sizes.sum())
    half = student_quantile(alpha, groups - 1) * math.sqrt(group_variance(sums, sizes) / float(sizes.sum()))
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    if len(kinds) > _MOST_DRAWN:
        return mean - half, mean + half
    # Draws do not depend on which of the two models is called old, so that exchanging them mirrors all.
    sign = -1 if (float(counts @ kinds[:, 0]) or float(counts @ kinds[:, 0] ** 3)) < 0 else 1
    order = np.lexsort((kinds[:, 1], sign * kinds[:, 0]))
    kinds, counts = (kinds * [sign, 1])[order], counts[order]
    means = sign * _bootstrap_means(kinds, counts, draws, seed)
    low, high = (float(v) for v in np.quantile(means, [alpha, 1 - alpha]))
    return min(low, mean - half), max(high, mean + half)


def _bootstrap_means(kinds: Array, counts: Array, draws: int, seed: int) -> Array:
    random, groups = np.random.Generator(np.random.PCG64(seed)), int(counts.sum())
    if len(kinds) <= _FEW_KINDS:
        times = random.multinomial(groups, counts / groups, size=draws)
        return np.asarray((times @ kinds[:, 0]) / (times @ kinds[:, 1]))
    sums, sizes = np.repeat(kinds, counts, axis=0).T.copy()  # sorted: the order given must not matter
    equal = bool((sizes == sizes[0]).all())
    values, rows = np.empty(draws), max(1, _CELLS // groups)
    for begin in range(0, draws, rows):
        index = random.integers(0, groups, size=(min(rows, draws - begin), groups), dtype=np.int32)
        items = groups * sizes[0] if equal else sizes[index].sum(1)
        values[begin : begin + rows] = sums[index].sum(1) / items
    return values


def sign_flip_p(sums: Array, *, draws: int = 10_000, seed: int = 0) -> float:
    """One-sided p-value that the mean difference is above 0, by flipping the sign of whole groups.

    Exact (all sign patterns) up to 16 groups that differ from 0; above that by seeded draws, counting
    the observed pattern as one of them. Beyond 2,000 groups of different size only the largest are
    flipped one by one; all others together are a normal variable. Assumes that without a difference
    each group's sum is symmetric about 0.

    Args:
        sums: (g,) sum of the differences in each group.
        draws: sign patterns drawn.
        seed: of the draws; the same input gives the same p-value.
    """
    moved = sums[sums != 0]
    observed = float(sums.sum()) - 1e-12 * float(np.abs(sums).sum())  # rounding must not break ties
    groups = len(moved)
    if groups <= _EXACT_FLIPS:
        patterns = (np.arange(2**groups)[:, None] >> np.arange(groups)) & 1
        return float(((1 - 2 * patterns) @ moved >= observed).mean())
    random = np.random.Generator(np.random.PCG64(seed))
    kinds, counts = np.unique(np.abs(moved), return_counts=True)
    if len(kinds) <= _FEW_KINDS:
        ups = random.binomial(counts, 0.5, size=(draws, len(kinds)))
        larger = int(((2 * ups - counts) @ kinds >= observed).sum())
        return (larger + 1) / (draws + 1)
    ordered = np.repeat(kinds, counts)  # sorted: the order given must not matter
    ordered, small = ordered[-_MOST_FLIPPED:], ordered[:-_MOST_FLIPPED]
    rest, rows = math.sqrt(float(small @ small)), max(1, _CELLS // len(ordered))
    larger = 0
    for begin in range(0, draws, rows):
        ups = random.integers(0, 2, size=(min(rows, draws - begin), len(ordered)), dtype=np.int8)
        totals = 2 * (ups @ ordered) - ordered.sum() + rest * random.standard_normal(len(ups))
        larger += int((totals >= observed).sum())
    return (larger + 1) / (draws + 1)


def holm(p_values: Array) -> Array:
    """Holm's adjusted p-values: the family-wise error rate stays at alpha whatever their dependence."""
    order, count = np.argsort(p_values, kind="stable"), len(p_values)
    adjusted = np.maximum.accumulate((count - np.arange(count)) * p_values[order])
    result = np.empty(count)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def student_quantile(alpha: float, freedom: int) -> float:
    """The t that Student's variable exceeds with probability alpha.

    Args:
        alpha: in (0, 0.5].
        freedom: degrees of freedom, at least 1.
    """
    z = -normal_quantile(alpha)
    if freedom > 200:  # Abramowitz and Stegun 26.7.5, to about ten digits
        return z + sum(
            (
                (z**3 + z) / (4 * freedom),
                (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2),
                (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3),
            )
        )
    low, high = 0.0, 1.0
    while _student_tail(high, freedom) > alpha and high < 1e300:
        high *= 2
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        if _student_tail(middle, freedom) > alpha:
            low = middle
        else:
            high = middle


def _student_tail(t: float, freedom: int) -> float:
    # Closed form for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    inside = 2 / math.pi * (theta + sine * total) if odd else sine * total
    return 0.5 - 0.5 * inside
