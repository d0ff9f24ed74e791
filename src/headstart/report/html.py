"""From the story to what is shown, and the page that shows it.

:func:`view` turns the story into tables, charts and short texts with every number formatted, every
missing value a dash and every list bounded; the page and its Markdown twin are both drawn from it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from headstart.report.charts import Line, amounts, bars, good, lineage, lines, number, shares
from headstart.report.tables import (
    LISTED,
    ROWS,
    arrivals_grid,
    as_dict,
    as_dicts,
    as_list,
    between,
    ended,
    entrants_grid,
    findings_grid,
    gate_grid,
    plans_grid,
    regressed_grid,
    said,
    settings,
    share,
    short,
    source_of,
    tag,
    texts,
)

__all__ = ["render_html", "view"]

# Bounds that keep the page small whatever the story holds.
_DETAILED, _NODES = 20, 60
_BADGES = {"promote": ("Promoted", "✓"), "hold": ("Held", "‖"), "reject": ("Rejected", "✕")}


def render_html(story: Mapping[str, Any]) -> str:
    """One self-contained page: no address outside it, light and dark, readable without its script.

    Everything in the story is escaped: it holds what users, files and models said. The page's own policy
    lets no other script or style run than the two it is written with.
    """
    from markupsafe import Markup

    style, script = _file("page.css"), _file("page.js")
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    # The charts come from charts.py, which escapes what it is given. Besides them and these two files
    # nothing is taken as markup.
    page: str = _template().render(
        page=view(story), style=Markup(style), script=Markup(script), policy=policy, svg=Markup
    )
    return page


def view(story: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the report shows, in order, as texts, :class:`Grid` tables and SVG.

    Args:
        story: from ``headstart.api.story``; keys may be missing and values None.
    """
    arrivals, totals = as_dicts(story.get("arrivals")), as_dict(story.get("totals"))
    metric = said(story.get("metric") or "score")
    graph = as_dict(story.get("lineage"))
    nodes = as_dicts(graph.get("nodes"))
    edges = [
        edge for edge in as_list(graph.get("edges")) if isinstance(edge, list | tuple) and len(edge) == 2
    ]
    shown = list(reversed(arrivals[-_DETAILED:]))
    # Anchors are numbered by place, never by what the story says.
    anchors = {len(arrivals) - back: f"arrival-{len(arrivals) - back}" for back in range(len(shown))}
    return {
        "title": said(story.get("title") or "Headstart"),
        "metric": metric,
        "facts": [
            (name, said(story.get(name.lower()) or "–")) for name in ("Task", "Metric", "Store")
        ] + [("Arrivals", number(len(arrivals)))],
        "headline": _headline(arrivals[-1], arrivals, totals, metric) if arrivals else None,
        "scores": _scores(arrivals, metric),
        "costs": _costs(arrivals),
        "arrivals": arrivals_grid(arrivals, metric, anchors),
        "unlisted": max(0, len(arrivals) - LISTED),
        "lineage": lineage(nodes[-_NODES:], edges),
        "lineage_note": f"The newest {_NODES} of {len(nodes)} versions." if len(nodes) > _NODES else "",
        "details": [
            {"anchor": f"arrival-{len(arrivals) - back}", **_detail(arrival, metric)}
            for back, arrival in enumerate(shown)
        ],
        "older": max(0, len(arrivals) - _DETAILED),
    }  # fmt: skip


def _headline(
    last: Mapping[str, Any], arrivals: Sequence[Any], totals: Mapping[str, Any], metric: str
) -> dict[str, Any]:
    decision, source = str(last.get("decision")), source_of(last)
    badge, mark = _BADGES.get(decision, (said(last.get("decision") or "No decision"), "·"))
    candidate, after = short(last.get("version")), short(last.get("champion_after"))
    before = last.get("champion_before")
    if decision == "promote":
        told = f"Candidate {candidate} is in service" + (f" and replaces {short(before)}." if before else ".")
    else:
        told = f"Champion {after} stays in service; candidate {candidate} stays in the store."
    overall = as_dict(as_dict(last.get("verdict")).get("overall"))
    old, new = last.get("champion_score"), last.get("candidate_score")
    spent, scratch = totals.get("steps_spent"), totals.get("steps_scratch")
    measured = all(a.get("scratch_measured") for a in arrivals)
    guess = "" if measured else " (estimated)"
    interval = as_list(last.get("score_interval"))
    final = totals.get("score_scratch_final")
    return {
        "decision": decision if decision in _BADGES else "none", "badge": badge, "mark": mark, "told": told,
        "index": number(last.get("index")), "reasons": texts(last.get("reasons")), "source": source,
        "score": number(new), "before": number(old) if good(old) else "",
        "interval": f"interval {between(*interval)}" if len(interval) == 2 and good(interval[0]) else "",
        "against": "against the champion" if good(old) else "against the trivial predictor",
        "difference": f"{number(overall.get('d'), sign=True)}, "
        f"bounds {between(overall.get('lower'), overall.get('upper'), sign=True)}" if overall else "",
        "bar": bars([overall], width=260)[0] if overall else "",
        "baseline": number(last.get("baseline_score")), "gate_items": number(last.get("gate_items")),
        "share": share(spent, scratch), "spent": number(spent), "scratch": number(scratch), "guess": guess,
        "lost": number(sum(a["steps_race"] for a in arrivals if good(a.get("steps_race")))),
        "amounts": amounts(
            [("kept current", spent, 0, False), (f"from scratch{guess}", scratch, 1, not measured)]
        ),
        "final": f"final {metric} {number(totals.get('score_final'))}; from scratch {number(final)}"
        if good(final) else "",
        "rows": number(last.get("rows_new")), "known": number(last.get("rows_total")),
        "seconds": number(last.get("seconds"), 3), "winner": said(last.get("winner") or "–"),
    }  # fmt: skip


def _detail(arrival: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """One arrival: what came, what was found, what raced, what the gate said."""
    source, counts = source_of(arrival), as_dict(arrival.get("counts"))
    entrants = as_dicts(arrival.get("entrants"))[:ROWS]
    winner = next((e for e in entrants if e.get("label") == arrival.get("winner")), {})
    style = next((place for place, e in enumerate(entrants) if e is winner), 0)
    verdict = as_dict(arrival.get("verdict"))
    spent, lost = number(arrival.get("steps_spent")), number(arrival.get("steps_race"))
    sides = (("to train on", "train"), ("to choose by", "dev"), ("sealed for the gate", "gate"))
    parts = [(label, counts.get(key), style) for style, (label, key) in enumerate(sides)]
    pairs = [(said(s.get("start")) + settings(s.get("settings")), said(s.get("reason")))
             for s in as_dicts(arrival.get("shortlist"))[:ROWS]]  # fmt: skip
    return {
        "index": number(arrival.get("index")), "source": source, "tag": tag(arrival.get("decision")),
        "winner": said(arrival.get("winner")), "version": short(arrival.get("version")),
        "rows": number(arrival.get("rows_new")), "known": number(arrival.get("rows_total")),
        "digest": said(arrival.get("digest"))[:16], "full_digest": said(arrival.get("digest")),
        "shares": shares(parts), "sides": [(label, number(count)) for label, count, _ in parts],
        "findings": findings_grid(arrival, source), "shortlist": pairs,
        "race": _race(entrants, winner, metric, source),
        "entrants": entrants_grid(entrants, winner, source), "plans": plans_grid(entrants, source),
        "cost": f"{spent} steps in all, {lost} of them by starts that lost.",
        "amounts": amounts([(said(e.get("label")), e.get("steps"), place, False)
                            for place, e in enumerate(entrants[:6])]),
        "training": _training(winner, style, 1, "Training loss", "loss", source),
        "rate": _training(winner, style, 2, "Learning rate", "learning rate", source),
        "gate": gate_grid(verdict, source), "terms": settings(verdict.get("settings")).strip(" ()"),
        "first": not good(arrival.get("champion_score")), "reasons": texts(arrival.get("reasons")),
        "regressed": regressed_grid(arrival, source),
    }  # fmt: skip


def _scores(arrivals: Sequence[Mapping[str, Any]], metric: str) -> str:
    names = (("candidate", "candidate_score"), ("champion before", "champion_score"),
             ("trivial predictor", "baseline_score"))  # fmt: skip
    chart = []
    for style, (name, key) in enumerate(names):
        kept = [a for a in arrivals if good(a.get("index")) and good(a.get(key))]
        points = [(float(a["index"]), float(a[key])) for a in kept]
        spans = [(a["index"], *a["score_interval"]) for a in kept
                 if style == 0 and len(as_list(a.get("score_interval"))) == 2
                 and all(map(good, a["score_interval"]))]  # fmt: skip
        chart.append(
            Line(name, points, style if style < 2 else 6, whiskers=spans, strong=style == 0,
                 dashed=style == 2, context=style == 2, sources=[source_of(a) for a in kept])
        )  # fmt: skip
    return lines(chart, title=f"{metric} on the sealed items", xlabel="arrival", ylabel=metric, whole=True)


def _costs(arrivals: Sequence[Mapping[str, Any]]) -> str:
    measured = all(arrival.get("scratch_measured") for arrival in arrivals)
    scratch = "from scratch each time" + ("" if measured else " (estimated)")
    names = (("kept current, races included", "steps_spent"), (scratch, "steps_scratch"),
             ("of it, starts that lost", "steps_race"))  # fmt: skip
    chart = []
    for style, (name, key) in enumerate(names):
        total, points, sources = 0.0, [], []
        for arrival in arrivals:
            if not good(arrival.get(key)) or not good(arrival.get("index")):
                break  # a sum over what is missing would mislead
            total += arrival[key]
            points.append((float(arrival["index"]), total))
            sources.append(source_of(arrival))
        dashed = key == "steps_scratch" and not measured
        chart.append(Line(name, points, style, dashed=dashed, strong=style == 0, sources=sources))
    return lines(
        chart, title="Training steps so far", xlabel="arrival", ylabel="cumulative steps", whole=True
    )


def _race(entrants: Sequence[Mapping[str, Any]], winner: Mapping[str, Any], metric: str, source: str) -> str:
    chart = []
    for style, entrant in enumerate(entrants):
        points = _points(entrant.get("curve"), 1)
        end = "" if entrant is winner else ended(entrant)
        chart.append(
            Line(said(entrant.get("label")), points, style, ended=end, strong=entrant is winner,
                 sources=[source] * len(points))
        )  # fmt: skip
    return lines(
        chart, title="The race", xlabel="steps of the entrant", ylabel=f"held-out {metric}", log=True
    )


def _training(
    winner: Mapping[str, Any], style: int, column: int, title: str, ylabel: str, source: str
) -> str:
    points = _points(winner.get("train_curve"), column)
    line = Line(said(winner.get("label")), points, style, sources=[source] * len(points))
    return lines([line], title=title, xlabel="steps", ylabel=ylabel)


def _points(curve: Any, column: int) -> list[tuple[float, float]]:
    rows = [row for row in as_list(curve) if isinstance(row, list | tuple) and len(row) > column]
    return [(float(row[0]), float(row[column])) for row in rows if good(row[0]) and good(row[column])]


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_file("page.html.jinja"))


def _file(name: str) -> str:
    return resources.files("headstart.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
