"""The tables of the report, and how values of the story become text: bounded, a dash for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.report.charts import bars, good, number, plain

__all__ = [
    "DECISIONS",
    "LISTED",
    "ROWS",
    "Cell",
    "Grid",
    "arrivals_grid",
    "as_dict",
    "as_dicts",
    "as_list",
    "between",
    "ended",
    "entrants_grid",
    "findings_grid",
    "gate_grid",
    "plans_grid",
    "regressed_grid",
    "said",
    "settings",
    "share",
    "short",
    "source_of",
    "tag",
    "texts",
]

# Bounds that keep the page small whatever the story holds.
LISTED, ROWS = 400, 60
_SHOWN, _TEXT = 20, 400
# A decision's name is also its class in the style sheet.
DECISIONS = ("promote", "hold", "reject")


@dataclass(frozen=True)
class Cell:
    """One cell: its text, what kind it is, a tone for tags, a chart, where it comes from, a target."""

    text: str
    kind: str = "text"  # text, short (not wrapped), number, code or tag
    tone: str = ""
    svg: str = ""
    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: a caption for those who cannot see it, headings, rows."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def arrivals_grid(arrivals: Sequence[Mapping[str, Any]], metric: str, anchors: Mapping[int, str]) -> Grid:
    """Every arrival in a row; ``anchors`` lead to the details of those that have any."""
    head = ("#", "New rows", "Start that won", "Decision", metric, "Champion before", "Baseline", "Steps",
            "Lost in races", "From scratch", "Share", "Seconds")  # fmt: skip
    rows = []
    for place, arrival in list(enumerate(arrivals, start=1))[-LISTED:]:
        source = source_of(arrival)
        keys = ("candidate_score", "champion_score", "baseline_score", "steps_spent", "steps_race")
        spent, scratch = arrival.get("steps_spent"), arrival.get("steps_scratch")
        guess = " est." if good(scratch) and not arrival.get("scratch_measured") else ""
        rows.append(
            (
                Cell(number(arrival.get("index")), "number", title=source, link=anchors.get(place, "")),
                Cell(number(arrival.get("rows_new")), "number", title=source),
                Cell(said(arrival.get("winner"))),
                tag(arrival.get("decision")),
                *(Cell(number(arrival.get(key)), "number", title=source) for key in keys),
                Cell(number(scratch) + guess, "number", title=source),
                Cell(share(spent, scratch), "number", title=source),
                Cell(number(arrival.get("seconds"), 3), "number", title=source),
            )
        )
    return Grid("Every arrival, oldest first", head, tuple(rows))


def findings_grid(arrival: Mapping[str, Any], source: str) -> Grid | None:
    """What the diagnosis found; None when nothing was looked at."""
    rows = [
        (
            Cell(said(f.get("severity") or "info"), "tag", _tone(f.get("severity"), "warning", "notice")),
            Cell(said(f.get("name"))),
            Cell(number(f.get("value")), "number", title=source),
            Cell(between(f.get("lower"), f.get("upper")), "number", title=source),
            Cell(number(f.get("p_value"), 3), "number", title=source),
            Cell(said(f.get("text"))),
            Cell(said(f.get("advice") or "–")),
        )
        for f in as_dicts(arrival.get("findings"))[:ROWS]
    ]
    head = ("Severity", "Finding", "Number", "Interval", "p", "What it says", "Advice")
    return Grid("Findings", head, tuple(rows)) if rows else None


def entrants_grid(
    entrants: Sequence[Mapping[str, Any]], winner: Mapping[str, Any], source: str
) -> Grid | None:
    """Who raced, how far each came and what it scored."""
    rows = [
        (
            Cell(said(e.get("label"))),
            Cell(ended(e), "tag", "promote" if e is winner else _tone(e.get("status"), "diverged")),
            Cell(number(e.get("steps")), "number", title=source),
            Cell(number(e.get("samples")), "number", title=source),
            Cell(number(e.get("score")), "number", title=source),
            Cell(said(e.get("ended") or "–")),
        )
        for e in entrants
    ]
    head = ("Start", "Outcome", "Steps", "Samples", "Held-out score", "How training ended")
    return Grid("Entrants of the race", head, tuple(rows)) if rows else None


def plans_grid(entrants: Sequence[Mapping[str, Any]], source: str) -> Grid | None:
    """What each run began with."""
    rows = []
    for entrant in entrants:
        plan = as_dict(entrant.get("plan"))
        data = as_dict(plan.get("data"))
        replay = f", replay share {number(data['replay_share'], 2)}" if good(data.get("replay_share")) else ""
        extras = {"masks": plan.get("masks"), "groups": plan.get("parameter_groups"), "ema": plan.get("ema")}
        rows.append(
            (
                Cell(said(entrant.get("label"))),
                Cell(short(plan.get("parent")), "code", title=said(plan.get("parent"))),
                Cell(said(plan.get("buffers")), "short"),
                Cell(said(plan.get("optimizer_state")), "short"),
                Cell(
                    f"{number(data.get('new'))} new, {number(data.get('replay'))} old{replay}", title=source
                ),
                Cell(said(data.get("order"))),
                Cell(number(plan.get("batch_size")), "number", title=source),
                Cell("; ".join(_phase(phase) for phase in as_dicts(plan.get("schedule"))[:8]) or "–"),
                Cell(settings({name: value for name, value in extras.items() if value}).strip(" ()") or "–"),
            )
        )
    head = ("Start", "Parent", "Buffers", "Optimizer", "Data", "Order", "Batch", "Learning rate", "Besides")
    return Grid("Start plans: what each run began with", head, tuple(rows)) if rows else None


def gate_grid(verdict: Mapping[str, Any], source: str) -> Grid | None:
    """Paired evidence over all items and on each slice, with its bars on one scale."""
    tables = as_dicts([verdict.get("overall"), *as_list(verdict.get("slices"))])[:ROWS]
    rows = []
    for table, bar in zip(tables, bars(tables), strict=True):
        margin = table.get("margin")
        texts = [number(table.get(key)) for key in ("n", "b", "c")]
        texts += [number(table.get(key), sign=True) for key in ("d", "lower", "upper")]
        texts += [number(-margin if good(margin) else None), number(table.get("p_value"), 3)]
        numbers = [Cell(text, "number", title=source) for text in texts]
        decision = said(table.get("decision"))
        outcome = Cell(decision, "tag", {"pass": "promote", "fail": "reject"}.get(decision, "hold"))
        rows.append((Cell(said(table.get("name"))), *numbers[:6], Cell("", svg=bar), *numbers[6:], outcome))
    head = ("Items", "n", "Better", "Worse", "Difference", "At least", "At most", "Bounds", "Margin", "p",
            "Outcome")  # fmt: skip
    return Grid("The gate's evidence on the sealed items", head, tuple(rows)) if rows else None


def regressed_grid(arrival: Mapping[str, Any], source: str) -> Grid | None:
    """Items that the champion had right and the candidate has wrong."""
    rows = [
        (
            Cell(number(item.get("row")), "number", title=source),
            Cell(settings(dict(list(as_dict(item.get("preview")).items())[:12])).strip()[1:-1] or "–"),
        )
        for item in as_dicts(arrival.get("regressed"))[:_SHOWN]
    ]
    return Grid("Items that got worse", ("Row", "Content"), tuple(rows)) if rows else None


def _phase(phase: Mapping[str, Any]) -> str:
    length = f"{number(phase.get('steps'))} steps" if good(phase.get("steps")) else "to the end"
    begin, end = number(phase.get("start")), number(phase.get("end"))
    rate = begin if begin == end else f"{begin} to {end} ({said(phase.get('shape'))})"
    return f"{said(phase.get('name'))} {rate}, {length}"


def ended(entrant: Mapping[str, Any]) -> str:
    """How an entrant ended, and at which rung, counted from one."""
    status, rung = said(entrant.get("status")), entrant.get("rung")
    return f"{status} at rung {int(rung) + 1}" if good(rung) else status


def tag(decision: Any) -> Cell:
    """A decision as a tag."""
    return Cell(said(decision), "tag", _tone(decision, *DECISIONS))


def _tone(value: Any, *known: str) -> str:
    # A class of the style sheet; never a text of the story's own.
    return next((name for name in known if value == name), "none")


def settings(values: Any) -> str:
    """``" (name=value, ...)"``, or "" for none."""
    items = [f"{said(name)}={said(value)}" for name, value in as_dict(values).items()]
    return f" ({', '.join(items)})" if items else ""


def between(lower: Any, upper: Any, *, sign: bool = False) -> str:
    """An interval; a dash when both ends are missing."""
    if not good(lower) and not good(upper):
        return "–"
    return f"{number(lower, sign=sign)} to {number(upper, sign=sign)}"


def share(spent: Any, scratch: Any) -> str:
    """Cost as a share of the cost from scratch."""
    return f"{spent / scratch:.0%}" if good(spent) and good(scratch) and scratch > 0 else "–"


def source_of(arrival: Mapping[str, Any]) -> str:
    """Which version and run the numbers of an arrival belong to."""
    run = f", run {said(arrival['run'])}" if arrival.get("run") else ""
    return f"version {said(arrival.get('version'))}{run}"


def short(version: Any) -> str:
    """The first eight characters of a version."""
    return said(version)[:8]


def said(value: Any) -> str:
    """Text of the story, bounded; a dash for nothing."""
    if value is None or (isinstance(value, float) and not good(value)):
        return "–"
    if isinstance(value, Mapping | list | tuple):
        pairs: Iterable[Any] = value.items() if isinstance(value, Mapping) else value
        value = ", ".join(
            ": ".join(map(said, p)) if isinstance(p, tuple) else said(p) for p in list(pairs)[:40]
        )
    text = f"{value:.6g}" if isinstance(value, float) else plain(str(value))
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def texts(values: Any) -> list[str]:
    """A bounded list of texts."""
    return [said(value) for value in as_list(values)[:ROWS]]


def as_dict(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def as_dicts(values: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list."""
    return [value for value in as_list(values) if isinstance(value, Mapping)]
