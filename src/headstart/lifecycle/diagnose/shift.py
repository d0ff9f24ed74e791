"""Tests for a shift between two samples: Kolmogorov-Smirnov, maximum mean discrepancy, class shares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headstart.lifecycle.statistics import holm

__all__ = ["class_shift", "column_shift", "kolmogorov_p", "mmd"]

Array = np.ndarray[Any, Any]
_MOST = 400
_PERMUTATIONS = 200


def column_shift(old: Array, new: Array) -> tuple[Array, Array]:
    """Kolmogorov-Smirnov distance of each column and Holm-adjusted p-values.

    Args:
        old, new: (n, d) and (m, d).
    """
    distances = np.array([_ks(old[:, j], new[:, j]) for j in range(old.shape[1])])
    effective = len(old) * len(new) / (len(old) + len(new))
    return distances, holm(np.array([kolmogorov_p(d, effective) for d in distances]))


def _ks(a: Array, b: Array) -> float:
    grid = np.concatenate([a, b])
    left = np.searchsorted(np.sort(a), grid, side="right") / len(a)
    right = np.searchsorted(np.sort(b), grid, side="right") / len(b)
    return float(np.abs(left - right).max())


def kolmogorov_p(distance: float, effective: float) -> float:
    """Asymptotic p-value of a Kolmogorov-Smirnov distance D.

    With ``x = sqrt(n) D`` it is ``2 sum_k (-1)^(k-1) exp(-2 k^2 x^2)``.

    Conservative for values that repeat.
    """
    x = math.sqrt(effective) * distance
    if x < 0.2:
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    total: float = sum(terms)
    return min(1.0, max(0.0, total))


def mmd(old: Array, new: Array, random: np.random.Generator) -> tuple[float, float]:
    """Squared maximum mean discrepancy (unbiased, Gaussian kernel, median width) and permutation p-value.

    Args:
        old, new: (n, d) and (m, d); at most 400 rows of each are drawn.
        random: for the draws and the permutations.
    """
    old, new = _draw(old, random), _draw(new, random)
    both = np.concatenate([old, new]).astype(np.float64)
    squared = np.maximum(0.0, (both**2).sum(1)[:, None] + (both**2).sum(1)[None] - 2 * both @ both.T)
    width = float(np.median(squared[np.triu_indices(len(both), 1)])) or 1.0
    kernel = np.exp(-squared / width)
    np.fill_diagonal(kernel, 0.0)
    n = len(old)
    observed = _discrepancy(kernel, np.arange(len(both)) < n)
    larger = 0
    for _ in range(_PERMUTATIONS):
        mask = np.zeros(len(both), dtype=bool)
        mask[random.permutation(len(both))[:n]] = True
        larger += _discrepancy(kernel, mask) >= observed
    return observed, (larger + 1) / (_PERMUTATIONS + 1)


def _discrepancy(kernel: Array, mask: Array) -> float:
    ones = mask.astype(float)
    others = 1.0 - ones
    n, m = ones.sum(), others.sum()
    rows = kernel @ ones
    within, across = ones @ rows, others @ rows
    rest = others @ (kernel @ others)
    return float(within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m))


def class_shift(old: Array, new: Array, random: np.random.Generator) -> tuple[float, float]:
    """Total variation distance of class shares, and a permutation p-value of the chi-squared statistic."""
    classes, codes = np.unique(np.concatenate([old, new]), return_inverse=True)
    n = len(old)
    shares = [np.bincount(part, minlength=len(classes)) for part in (codes[:n], codes[n:])]
    distance = 0.5 * float(np.abs(shares[0] / n - shares[1] / len(new)).sum())
    observed = _chi_squared(codes, n, len(classes))
    draws = (_chi_squared(random.permutation(codes), n, len(classes)) for _ in range(_PERMUTATIONS))
    return distance, (sum(value >= observed - 1e-9 for value in draws) + 1) / (_PERMUTATIONS + 1)


def _chi_squared(codes: Array, n: int, classes: int) -> float:
    total = np.bincount(codes, minlength=classes)
    left = np.bincount(codes[:n], minlength=classes)
    expected = total * n / len(codes)
    right, rest = total - left, total - expected
    return float(
        ((left - expected) ** 2 / expected).sum() + ((right - rest) ** 2 / np.maximum(rest, 1e-12)).sum()
    )


def _draw(values: Array, random: np.random.Generator) -> Array:
    if len(values) <= _MOST:
        return values
    return values[np.sort(random.permutation(len(values))[:_MOST])]
