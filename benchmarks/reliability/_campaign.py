"""What every campaign is given and what it reports."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Outcome", "Setting"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a campaign runs.

    Attributes:
        folder: an empty folder of its own, on a real disk; removed afterwards.
        full: the size that is published; otherwise the fast subset that the tests run.
        seed: of every random choice.
        workers: processes it may use.
        say: called with a line of progress now and then.
    """

    folder: Path
    full: bool = False
    seed: int = 0
    workers: int = 1
    say: Callable[[str], None] = lambda line: None

    def size(self, full: int, quick: int) -> int:
        """The number of cases: the published one, or that of the fast subset."""
        return full if self.full else quick


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a campaign found about one promise.

    Attributes:
        figure: its number in the table of promises, for example ``R3``.
        promise: what must hold, in one clause.
        cases: how many times it was tried.
        violations: how many times it did not hold.
        bar: what was asked for, in words.
        met: whether the bar is met: enough cases, and no violation more than it allows.
        counts: further numbers, by name.
        notes: what a reader must know besides: survivors, exclusions, conditions.
        examples: the first few violations, in full.
    """

    figure: str
    promise: str
    cases: int
    violations: int
    bar: str
    met: bool
    counts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.__dict__,
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "examples": list(self.examples[:5]),
        }


@dataclass
class Tally:
    """Counts cases by kind and keeps the first violations."""

    cases: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def case(self, kind: str, problem: str | None = None) -> None:
        """Counts one case; ``problem`` says how the promise was broken, if it was."""
        self.cases[kind] += 1
        if problem:
            self.broken.append(f"{kind}: {problem}")

    @property
    def total(self) -> int:
        """All cases."""
        return sum(self.cases.values())


def paced(items: list[Any], say: Callable[[str], None], what: str) -> Iterator[Any]:
    """The items, with a line of progress every ten seconds."""
    last = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{what}: {number} of {len(items)}")
        yield item
