"""From the story to what the page shows: every number formatted, every missing value a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report.svg import Line, bars, lineage, lines

__all__ = ["arrival_view", "number", "overview"]

_STYLES = [f"c{i}" for i in range(8)]
_DETAILED = 20


def number(value: Any, digits: int = 4) -> str:
    """A number for a reader; a dash for what is missing or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or (abs(value) >= 1000 and value == int(value)):
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def overview(story: Mapping[str, Any]) -> dict[str, Any]:
    """Headline, totals and the charts over all arrivals."""
    arrivals, totals = story["arrivals"], story["totals"]
    last = arrivals[-1] if arrivals else {}
    spent, scratch = totals.get("steps_spent"), totals.get("steps_scratch")
    share = spent / scratch if spent is not None and scratch else None
    return {
        "last": last,
        "decision": last.get("decision", ""),
        "share": f"{share:.0%}" if share is not None else "–",
        "measured": bool(arrivals) and all(a.get("scratch_measured") for a in arrivals),
        "spent": number(spent),
        "scratch": number(scratch),
        "score": number(totals.get("score_final")),
        "score_scratch": number(totals.get("score_scratch_final")),
        "scores": _scores(arrivals, str(story.get("metric", "score"))),
        "costs": _costs(arrivals),
        "lineage": lineage(story["lineage"]["nodes"][-60:], story["lineage"]["edges"]),
        "rows": [_row(arrival) for arrival in arrivals],
        "details": [
            arrival_view(a, str(story.get("metric", "score"))) for a in reversed(arrivals[-_DETAILED:])
        ],
        "older": max(0, len(arrivals) - _DETAILED),
    }


def arrival_view(arrival: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """One arrival: charts and tables."""
    entrants = arrival.get("entrants", [])
    verdict = arrival.get("verdict") or {}
    tables = [verdict.get("overall"), *verdict.get("slices", [])]
    return {
        "record": arrival,
        "race": _race(entrants, arrival.get("winner"), metric),
        "training": _training(entrants, arrival.get("winner")),
        "rate": _rate(entrants, arrival.get("winner")),
        "tables": [{**table, "bar": bars(table)} for table in tables if table],
        "reasons": arrival.get("reasons", []),
        "schedule": [_phases(e.get("plan", {}).get("schedule", [])) for e in entrants],
    }


def _row(arrival: Mapping[str, Any]) -> dict[str, Any]:
    spent, scratch = arrival.get("steps_spent"), arrival.get("steps_scratch")
    share = f"{spent / scratch:.0%}" if spent is not None and scratch else "–"
    return {**arrival, "share": share}


def _pairs(arrivals: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(a["index"], float(a[key])) for a in arrivals if _good(a.get(key))]


def _good(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _scores(arrivals: Sequence[Mapping[str, Any]], metric: str) -> str:
    chart = [
        Line("candidate", _pairs(arrivals, "candidate_score"), style="c2"),
        Line("champion before", _pairs(arrivals, "champion_score"), style="c1"),
        Line("trivial predictor", _pairs(arrivals, "baseline_score"), style="c0", dashed=True),
    ]
    return lines(chart, xlabel="arrival", ylabel=metric, label=f"{metric} over arrivals")


def _costs(arrivals: Sequence[Mapping[str, Any]]) -> str:
    measured = all(a.get("scratch_measured") for a in arrivals)
    name = "from scratch each time" if measured else "from scratch each time (estimated)"
    chart = [
        Line("kept current, races included", _running(arrivals, "steps_spent"), style="c2"),
        Line(name, _running(arrivals, "steps_scratch"), style="c1", dashed=not measured),
        Line("races alone (starts that lost)", _running(arrivals, "steps_race"), style="c3"),
    ]
    return lines(chart, xlabel="arrival", ylabel="cumulative steps", label="Cumulative steps over arrivals")


def _running(arrivals: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    total, points = 0.0, []
    for arrival in arrivals:
        if not _good(arrival.get(key)):
            break
        total += arrival[key]
        points.append((float(arrival["index"]), total))
    return points


def _race(entrants: Sequence[Mapping[str, Any]], winner: Any, metric: str) -> str:
    chart = []
    for index, entrant in enumerate(entrants):
        points = [(float(step), float(value)) for step, value in entrant.get("curve", []) if _good(value)]
        lost = entrant.get("label") != winner
        chart.append(Line(str(entrant.get("label")), points, style=_STYLES[(index + 1) % 8], dropped=lost))
    return lines(chart, xlabel="steps of the entrant", ylabel=f"held-out {metric}", label="Race of starts")


def _training(entrants: Sequence[Mapping[str, Any]], winner: Any) -> str:
    points = [(float(p[0]), float(p[1])) for p in _train_curve(entrants, winner) if _good(p[1])]
    return lines(
        [Line("training loss", points, style="c2")], xlabel="steps", ylabel="loss", label="Training loss"
    )


def _rate(entrants: Sequence[Mapping[str, Any]], winner: Any) -> str:
    points = [(float(p[0]), float(p[2])) for p in _train_curve(entrants, winner) if _good(p[2])]
    if len({rate for _, rate in points}) < 2:
        return ""  # a constant rate stands in the plan
    return lines(
        [Line("learning rate", points, style="c4")], xlabel="steps", ylabel="rate", label="Learning rate"
    )


def _train_curve(entrants: Sequence[Mapping[str, Any]], winner: Any) -> Sequence[Any]:
    for entrant in entrants:
        if entrant.get("label") == winner:
            curve: Sequence[Any] = entrant.get("train_curve", [])
            return curve
    return []


def _phases(phases: Sequence[Mapping[str, Any]]) -> str:
    texts = []
    for phase in phases:
        length = f"{phase['steps']} steps" if phase.get("steps") else "to the end"
        rates = f"{number(phase['start'])} → {number(phase['end'])}"
        texts.append(f"{phase['name']} {rates} ({phase['shape']}, {length})")
    return "; ".join(texts)
