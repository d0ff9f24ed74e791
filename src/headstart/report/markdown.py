"""The report as Markdown, for a pull request or a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headstart.report.view import number

__all__ = ["render_markdown"]


def render_markdown(story: Mapping[str, Any]) -> str:
    """The story in tables."""
    arrivals, totals = story["arrivals"], story["totals"]
    parts = [f"# {_cell(story.get('title') or 'Headstart')}", ""]
    parts.append(
        f"{len(arrivals)} arrivals, {number(totals.get('steps_spent'))} steps spent, "
        f"{number(totals.get('steps_scratch'))} from scratch; "
        f"final score {number(totals.get('score_final'))}."
    )
    head = [
        "#",
        "new rows",
        "start",
        "decision",
        "candidate",
        "champion before",
        "steps",
        "race",
        "from scratch",
    ]
    keys = ("candidate_score", "champion_score", "steps_spent", "steps_race", "steps_scratch")
    parts += ["", *_table(head, (_summary(a, keys) for a in arrivals))]
    for arrival in arrivals[-20:]:
        parts += _arrival(arrival)
    return "\n".join(parts) + "\n"


def _summary(arrival: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    start = [
        str(arrival["index"]),
        number(arrival.get("rows_new")),
        str(arrival.get("winner")),
        str(arrival.get("decision")),
    ]
    return start + [number(arrival.get(key)) for key in keys]


def _arrival(arrival: Mapping[str, Any]) -> list[str]:
    parts = ["", f"## Arrival {arrival['index']}: {_cell(arrival.get('decision'))}", ""]
    parts += [f"- {_cell(reason)}" for reason in arrival.get("reasons", [])]
    if arrival.get("findings"):
        rows = [
            [f["name"], number(f["value"]), number(f.get("p_value")), f["text"]] for f in arrival["findings"]
        ]
        parts += ["", *_table(["finding", "value", "p", "what it says"], rows)]
    rows = [
        [e["label"], e["status"], number(e.get("steps")), number(e.get("score"))]
        for e in arrival.get("entrants", [])
    ]
    parts += ["", *_table(["start", "status", "steps", "held-out score"], rows)]
    verdict = arrival.get("verdict") or {}
    tables = [t for t in (verdict.get("overall"), *verdict.get("slices", [])) if t]
    keys = ("n", "b", "c", "d", "lower", "upper", "p_value")
    rows = [[t["name"], *(number(t.get(key)) for key in keys), t.get("decision", "")] for t in tables]
    return [
        *parts,
        "",
        *_table(["items", "n", "better", "worse", "difference", "at least", "at most", "p", ""], rows),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]


def _cell(value: Any) -> str:
    text = " ".join(str(value).split())
    for mark in "\\`*_{}[]<>|#":
        text = text.replace(mark, "\\" + mark) if mark != "_" else text
    return text
