"""The race: several starts side by side under one budget, the worst dropped step by step.

Successive halving over cumulative steps. Entrants share the seed, so they see the same data in the
same order and their held-out scores are paired item by item. An entrant leads only if it is proven
ahead; entrants that the held-out data cannot tell apart are ranked by how cheaply they will finish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from headstart.errors import DivergedError
from headstart.lifecycle.budget import Budget, Spent
from headstart.lifecycle.settings import RaceSettings

__all__ = ["Racer", "Rung", "race", "rung_steps"]

# One-sided 95 %: a lead smaller than this many standard errors is a tie.
_TIE = 1.645


class Racer(Protocol):
    """What the race needs of an entrant."""

    extra: Spent

    @property
    def label(self) -> str: ...

    @property
    def spent(self) -> Spent: ...

    @property
    def progress(self) -> float: ...

    @property
    def finished(self) -> bool: ...

    def advance(self, until: int) -> None: ...

    def held_out(self) -> Tensor: ...


@dataclass(frozen=True)
class Rung:
    """One elimination round: steps each entrant had by then, mean scores, who went and why."""

    number: int
    steps: int
    scores: dict[str, float | None]
    dropped: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)


def rung_steps(entrants: int, expected: int, settings: RaceSettings) -> list[tuple[int, int]]:
    """Cumulative steps of each rung, and how many entrants survive it.

    Rung r gives each survivor ``2^r u`` steps and keeps the better half, the last one keeps one. The
    unit u is chosen so that what the losers spend together is at most ``share * expected``.

    Args:
        entrants: at the start, at least 1.
        expected: steps the whole run is expected to take, at least 1.
        settings: of the race.
    """
    survivors, left = [], entrants
    for number in range(settings.rungs):
        if left <= 1:
            break
        left = 1 if number == settings.rungs - 1 else math.ceil(left / 2)
        survivors.append(left)
    before, weight = entrants, 0
    for number, after in enumerate(survivors):
        weight += (before - after) * 2**number
        before = after
    unit = int(settings.share * expected / weight) if weight else 0
    return [(max(1, unit * 2**number), after) for number, after in enumerate(survivors)]


def race(
    racers: Sequence[Racer],
    *,
    expected: int,
    settings: RaceSettings,
    budget: Budget,
    done: Sequence[Rung] = (),
    report: Callable[[Rung], None] = lambda rung: None,
) -> tuple[Racer, list[Rung]]:
    """Runs the rungs and returns the entrant that trains on, with the record of each rung.

    Args:
        racers: entrants, in order of preference for exact ties.
        expected: steps a whole run is expected to take.
        settings: of the race.
        budget: of all entrants together; when it runs out the present leader wins.
        done: rungs already run (of an interrupted race).
        report: called after each rung, to record it.

    Raises:
        DivergedError: every entrant diverged.
    """
    alive = list(racers)
    rungs = list(done)
    for rung in done:
        alive = [racer for racer in alive if racer.label not in rung.dropped]
    for number, (steps, keep) in enumerate(rung_steps(len(racers), expected, settings)):
        if number < len(done):
            continue
        if len(alive) == 1 or not budget.allows(total(racers)):
            break
        rung, alive = _run_rung(number, steps, keep, alive)
        rungs.append(rung)
        report(rung)
    return alive[0], rungs


def total(racers: Sequence[Racer]) -> Spent:
    """What all entrants have spent, preparation included."""
    spent = Spent()
    for racer in racers:
        spent = spent + racer.spent + racer.extra
    return spent


def _run_rung(number: int, steps: int, keep: int, alive: list[Racer]) -> tuple[Rung, list[Racer]]:
    dropped: dict[str, str] = {}
    held: dict[str, Tensor] = {}
    for racer in alive:
        try:
            racer.advance(steps)
            held[racer.label] = racer.held_out()
        except DivergedError as error:
            dropped[racer.label] = f"diverged ({error.where})"
    racing = [racer for racer in alive if racer.label in held]
    if not racing:
        raise DivergedError(
            "every start of the race diverged",
            where="; ".join(f"{label}: {why}" for label, why in dropped.items()),
            got=f"{len(alive)} entrants",
            fix="lower train.lr, set train.clip_grad_norm, or check the data for extreme values",
        )
    ranked = _rank(racing, held)
    for racer in ranked[keep:]:
        dropped[racer.label] = _why(racer, ranked[0], held)
    scores = {label: _mean(values) if len(values) else None for label, values in held.items()}
    return Rung(number, steps, scores, dropped), ranked[:keep]


def _rank(racers: list[Racer], held: dict[str, Tensor]) -> list[Racer]:
    # Cheapest first; an entrant moves ahead of one only where its lead is proven.
    ranked: list[Racer] = []
    for racer in sorted(racers, key=lambda r: -r.progress):
        place = len(ranked)
        while place > 0 and leads(held[racer.label], held[ranked[place - 1].label]):
            place -= 1
        ranked.insert(place, racer)
    return ranked


def leads(ours: Tensor, theirs: Tensor) -> bool:
    """Whether paired scores prove a lead: mean difference above 1.645 standard errors."""
    difference = (ours - theirs).double()
    if len(difference) < 2:
        return False
    error = float(difference.std()) / math.sqrt(len(difference))
    return float(difference.mean()) > max(_TIE * error, 1e-12)


def _why(racer: Racer, leader: Racer, held: dict[str, Tensor]) -> str:
    ours, best = held[racer.label], held[leader.label]
    if leads(best, ours):
        return f"held-out score {_mean(ours):.4g}, {leader.label} is proven ahead at {_mean(best):.4g}"
    return (
        f"held-out score {_mean(ours):.4g} is no proven lead over {leader.label} ({_mean(best):.4g}), "
        "which is nearer to the end of its training"
    )


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")
