"""Tests for a shift between two samples: Kolmogorov-Smirnov, maximum mean discrepancy, class shares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headstart.lifecycle.statistics import holm

__all__ = ["class_shift", "column_shift", "kolmogorov_p", "mmd", "sample"]

Array = np.ndarray[Any, Any]
_MMD_ROWS = 400
_MMD_PERMUTATIONS = 200
_CLASS_PERMUTATIONS = 5000
_ROUNDING = 1e-9


def sample(count: int, most: int, random: np.random.Generator) -> Array:
    """At most ``most`` of the numbers 0 to count - 1, in order; all of them when they are no more."""
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))


def column_shift(old: Array, new: Array) -> tuple[Array, Array]:
    """Kolmogorov-Smirnov distance of each column and p-values, Holm-adjusted for the number of columns.

    Args:
        old, new: (n, d) and (m, d), finite.

    Returns:
        (d,) distances in [0, 1] and (d,) p-values.
    """
    distances = np.array([_distance(old[:, j], new[:, j]) for j in range(old.shape[1])])
    effective = len(old) * len(new) / (len(old) + len(new))
    return distances, holm(np.array([kolmogorov_p(d, effective) for d in distances]))


def _distance(a: Array, b: Array) -> float:
    grid = np.concatenate([a, b])
    left = np.searchsorted(np.sort(a), grid, side="right") / len(a)
    right = np.searchsorted(np.sort(b), grid, side="right") / len(b)
    return float(np.abs(left - right).max())


def kolmogorov_p(distance: float, effective: float) -> float:
    """Asymptotic p-value ``2 sum (-1)^(k-1) exp(-2 k^2 x^2)`` of a distance D, with ``x = sqrt(n) D``.

    Conservative for values that repeat.

    Args:
        distance: Kolmogorov-Smirnov distance.
        effective: n, the product of both sample sizes over their sum.
    """
    x = math.sqrt(effective) * distance
    if x < 0.2:  # 1 to more digits than a float has; the series would need many terms
        return 1.0
    total: float = sum(2.0 * (-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, total))


def mmd(old: Array, new: Array, random: np.random.Generator) -> tuple[float, float]:
    """Squared maximum mean discrepancy and its permutation p-value.

    Unbiased estimate with the kernel ``exp(-|x - y|^2 / median)``, the median taken over the squared
    distances that are not 0. It can be a little below 0.

    Args:
        old, new: (n, d) and (m, d), at least 2 rows each; at most 400 of each are drawn.
        random: for the draws and the 200 permutations.
    """
    old, new = (part[sample(len(part), _MMD_ROWS, random)] for part in (old, new))
    both = np.concatenate([old, new]).astype(np.float64)
    both -= both.mean(axis=0)  # far from the origin the squares would lose digits
    squares = (both**2).sum(1)
    squared = np.maximum(0.0, squares[:, None] + squares[None] - 2 * both @ both.T)
    apart = squared[squared > _ROUNDING * max(1.0, float(squares.max()))]
    kernel = np.exp(-squared / (float(np.median(apart)) if len(apart) else 1.0))
    np.fill_diagonal(kernel, 0.0)
    n, m = len(old), len(new)
    sides = np.zeros((n + m, _MMD_PERMUTATIONS + 1))
    sides[:n, 0] = 1.0
    sides[:, 1:] = random.permuted(np.repeat(sides[:, :1], _MMD_PERMUTATIONS, axis=1), axis=0)
    rows = kernel.sum(axis=1) @ sides
    within = (sides * (kernel @ sides)).sum(axis=0)
    across, rest = rows - within, kernel.sum() - 2 * rows + within
    values = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
    return float(values[0]), float((values >= values[0] - _ROUNDING).mean())


def class_shift(old: Array, new: Array, random: np.random.Generator) -> tuple[float, float]:
    """Total variation distance of class shares, and a permutation p-value of the chi-squared statistic.

    Args:
        old, new: (n,) and (m,) class numbers.
        random: for the 5,000 permutations.
    """
    classes, codes = np.unique(np.concatenate([old, new]), return_inverse=True)
    n, m = len(old), len(new)
    left = np.bincount(codes[:n], minlength=len(classes))
    total = np.bincount(codes, minlength=len(classes))
    distance = 0.5 * float(np.abs(left / n - (total - left) / m).sum())
    # With its margins fixed, a permuted table is a draw without replacement: no need to permute rows.
    draws = random.multivariate_hypergeometric(total, n, size=_CLASS_PERMUTATIONS, method="marginals")
    observed, permuted = _chi_squared(left, total, n), _chi_squared(draws, total, n)
    larger = int((permuted >= observed - _ROUNDING).sum())
    return distance, (larger + 1) / (_CLASS_PERMUTATIONS + 1)


def _chi_squared(left: Array, total: Array, n: int) -> Array:
    expected = total * (n / total.sum())
    # Cells of the other sample differ by as much from what is expected there.
    return np.asarray(((left - expected) ** 2 * (1 / expected + 1 / (total - expected))).sum(axis=-1))
