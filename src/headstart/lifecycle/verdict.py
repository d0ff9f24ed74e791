"""The verdict: a decision with all the evidence it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Table", "Verdict"]


@dataclass(frozen=True)
class Table:
    """Paired evidence on one set of items.

    Attributes:
        name: ``overall`` or the slice's name.
        n: items.
        b: old wrong, new right (or new better).
        c: old right, new wrong (or new worse).
        d: mean difference, new minus old; (b - c) / n for right or wrong.
        p_value: one-sided, of "the new one is no better".
        p_worse: the same test turned round, of "the new one is no worse".
        lower, upper: one-sided bounds of d; infinite where nothing is known.
        margin: loss that still counts as no worse.
        variance: of one item's difference, groups allowed for; it says how many items are needed.
        decision: ``pass`` (a loss beyond the margin is ruled out), ``fail`` (it is proven, by ``upper``
            and by ``p_worse``) or ``inconclusive``.
    """

    name: str
    n: int
    b: int
    c: int
    d: float
    p_value: float
    p_worse: float
    lower: float
    upper: float
    margin: float
    variance: float
    decision: str = "inconclusive"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; an infinite number is None."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self.__dict__.items()
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Table:
        """The table that :meth:`to_dict` gave."""
        infinite = {"lower": -math.inf, "upper": math.inf, "variance": math.inf}
        known = {name: value[name] if value[name] is not None else infinite[name] for name in infinite}
        return cls(**{**value, **known})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate decided and why.

    Attributes:
        decision: promote, hold or reject.
        reasons: sentences, the deciding one first.
        overall: evidence on all items.
        slices: evidence on each protected slice.
        regressed: numbers of the items that got worse.
        settings: alpha, what this look spends of it, margins, looks.
    """

    decision: str
    reasons: tuple[str, ...]
    overall: Table
    slices: tuple[Table, ...] = ()
    regressed: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "decision": self.decision,
            "reasons": list(self.reasons),
            "overall": self.overall.to_dict(),
            "slices": [table.to_dict() for table in self.slices],
            "regressed": list(self.regressed),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Verdict:
        """The verdict that :meth:`to_dict` gave."""
        return cls(
            decision=value["decision"],
            reasons=tuple(value["reasons"]),
            overall=Table.from_dict(value["overall"]),
            slices=tuple(Table.from_dict(table) for table in value["slices"]),
            regressed=tuple(value["regressed"]),
            settings=value["settings"],
        )

    @classmethod
    def without_items(cls, reason: str) -> Verdict:
        """Hold, because there is nothing to judge by."""
        nothing = Table("overall", 0, 0, 0, 0.0, 1.0, 1.0, -math.inf, math.inf, 0.0, 0.0)
        return cls(decision="hold", reasons=(reason,), overall=nothing)
