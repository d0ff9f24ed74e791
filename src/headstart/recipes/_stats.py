"""Paired statistics over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Paired", "paired"]

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Paired:
    """Mean of paired differences, its standard error, and a two-sided 95 % interval (Student's t)."""

    mean: float
    error: float
    lower: float
    upper: float

    def text(self, digits: int = 2) -> str:
        """Mean and interval, for a table."""
        return f"{self.mean:+.{digits}f} [{self.lower:+.{digits}f}, {self.upper:+.{digits}f}]"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Paired comparison over seeds; with one seed the interval is the whole line."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return Paired(mean, math.inf, -math.inf, math.inf)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    t = _T95[min(len(differences) - 2, len(_T95) - 1)]
    return Paired(mean, error, mean - t * error, mean + t * error)
