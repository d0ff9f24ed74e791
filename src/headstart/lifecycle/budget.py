"""Budgets: what a run may spend, and what it has spent."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from headstart.errors import InputError

__all__ = ["Budget", "Spent"]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was spent: optimizer steps, samples read and seconds of training."""

    steps: int = 0
    samples: int = 0
    seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            steps=self.steps + other.steps,
            samples=self.samples + other.samples,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most one update may spend, over all entrants of its race together.

    A limit left at None does not bind. Seconds are measured training time, so a budget in seconds
    makes a run depend on the machine; steps and samples do not.

    Attributes:
        steps: optimizer steps, at least 1.
        samples: training examples read, counted with repetition, at least 1.
        seconds: seconds of training, above 0.
    """

    steps: int | None = None
    samples: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_limit(field.name, getattr(self, field.name))

    def allows(self, spent: Spent) -> bool:
        """Whether anything is left."""
        return self.left(spent) > 0

    def left(self, spent: Spent) -> float:
        """The smallest share of a limit that is left, from 1 (nothing spent) down to 0."""
        shares = [
            1.0 - getattr(spent, field.name) / limit
            for field in dataclasses.fields(self)
            if (limit := getattr(self, field.name)) is not None
        ]
        return max(0.0, min(shares, default=1.0))

    def steps_left(self, spent: Spent, batch_size: int) -> int | None:
        """Optimizer steps that still fit, by the limits in steps and samples; None without one."""
        limits = []
        if self.steps is not None:
            limits.append(self.steps - spent.steps)
        if self.samples is not None:
            limits.append((self.samples - spent.samples) // max(1, batch_size))
        return max(0, min(limits)) if limits else None

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def _check_limit(name: str, limit: Any) -> None:
    if limit is None:
        return
    whole = name != "seconds"
    number = isinstance(limit, (int, float)) and not isinstance(limit, bool) and math.isfinite(limit)
    if not number or limit <= 0 or (whole and limit != int(limit)):
        raise InputError(
            f"a budget in {name} must be a {'whole ' if whole else ''}number above 0",
            where=f"budget.{name}",
            got=limit,
            fix=f"give for example {name}={2000 if whole else 60.0}, or leave it out",
        )
