"""From findings and past races to a short list of starts, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.lifecycle.plan import StartSpec, make_start
from headstart.lifecycle.settings import RaceSettings
from headstart.protocols import Finding

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """A start on the short list, and why it is there."""

    spec: StartSpec
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"start": self.spec.slug, "settings": dict(self.spec.settings), "reason": self.reason}


def choose(
    starts: Sequence[StartSpec],
    findings: Sequence[Finding],
    history: Sequence[Mapping[str, Any]],
    settings: RaceSettings,
    *,
    shifted: bool,
    parent: bool,
) -> list[Choice]:
    """The short list for one arrival.

    Without a parent only starts that need none can run. When one start has won the last
    ``settings.settled`` races and nothing shifted, it runs alone; every ``challenge_every`` such
    arrivals one of the others races against it. Otherwise the past winner comes first and the others
    follow in the order in which the user named them, up to ``settings.entrants``.

    Args:
        starts: what the user allows, in order.
        findings: of the diagnosis; named in the reasons.
        history: past arrivals, oldest first, each with ``winner`` (a label) and ``entrants`` (labels).
        settings: of the race.
        shifted: whether the diagnosis found a shift.
        parent: whether there is a version to start from.
    """
    if not parent:
        able = [spec for spec in starts if not make_start(spec).needs_parent]
        first = able[:1] or [StartSpec("scratch")]
        return [Choice(first[0], "there is no version to start from yet")]
    by_label = {spec.label: spec for spec in starts}
    # Races of more than one entrant, and the runs that a settled winner had alone, say who won.
    winners = [race["winner"] for race in history if race.get("raced")]
    last = winners[-1] if winners and winners[-1] in by_label else None
    others = [spec for spec in starts if spec.label != last]
    if last is not None and not shifted and _settled(winners, settings.settled):
        return _settled_list(by_label[last], others, winners, settings)
    lead = [Choice(by_label[last], _won(winners, last))] if last is not None else []
    why = "a shift was found, so all starts race again" if shifted else "has not been settled by a race yet"
    named = _most_telling(findings) if shifted else ""
    rest = [Choice(spec, why + named) for spec in others]
    return (lead + rest)[: settings.entrants]


def _settled(winners: Sequence[str], needed: int) -> bool:
    return len(winners) >= needed and len(set(winners[-needed:])) == 1


def _settled_list(
    champion: StartSpec, others: Sequence[StartSpec], winners: Sequence[str], settings: RaceSettings
) -> list[Choice]:
    streak = 0
    for winner in reversed(winners):
        if winner != champion.label:
            break
        streak += 1
    choices = [Choice(champion, f"{_won(winners, champion.label)}, and nothing shifted")]
    every = settings.challenge_every
    if every and others and streak % every == 0 and settings.entrants > 1:
        challenger = others[(streak // every - 1) % len(others)]
        choices.append(Choice(challenger, f"a challenger, after {streak} wins in a row of {champion.label}"))
    return choices


def _won(winners: Sequence[str], label: str) -> str:
    return f"won {winners.count(label)} of {len(winners)} arrivals so far"


def _most_telling(findings: Sequence[Finding]) -> str:
    warnings = [finding for finding in findings if finding.severity == "warning"]
    return f" ({warnings[0].name})" if warnings else ""
