"""The report as Markdown, for a pull request or a terminal: the same content as the page, in tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headstart.report.html import view
from headstart.report.tables import Grid

__all__ = ["render_markdown"]

# Marks of Markdown, mentions, and what a reader would turn into a link.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$@]|:(?=//)|(?<=www)\.)")


def render_markdown(story: Mapping[str, Any]) -> str:
    """The story in tables; what users wrote is escaped and can be neither markup nor HTML."""
    page = view(story)
    facts = ", ".join(f"{name.lower()} {_text(value)}" for name, value in page["facts"])
    parts = [f"# {_text(page['title'])}", "", facts]
    if page["headline"] is None:
        return "\n".join([*parts, "", "Nothing has arrived yet.", ""])
    parts += ["", *_headline(page["headline"], page["metric"])]
    parts += ["", "## Arrivals", "", *_table(page["arrivals"])]
    if page["older"]:
        parts += ["", f"The {page['older']} oldest arrivals have no details here; report.json has them."]
    for detail in page["details"]:
        parts += _detail(detail)
    return "\n".join(parts) + "\n"


def _headline(top: Mapping[str, Any], metric: str) -> list[str]:
    before = f" (champion before: {top['before']})" if top["before"] else ""
    difference = f"; difference {top['difference']} {top['against']}" if top["difference"] else ""
    interval = f", {top['interval']}" if top["interval"] else ""
    rows = [
        f"**{_text(top['badge'])}** (arrival {top['index']}): {_text(top['told'])}",
        "",
        f"- {_text(metric)}: {top['score']}{before}{interval}{difference}; "
        f"trivial predictor {top['baseline']}; {top['gate_items']} sealed items",
        f"- cost so far: {top['spent']} steps, from scratch {top['scratch']}{top['guess']}: {top['share']}; "
        f"{top['lost']} steps by starts that lost their race",
    ]
    return rows + ([f"- {_text(top['final'])}"] if top["final"] else [])


def _detail(detail: Mapping[str, Any]) -> list[str]:
    sides = ", ".join(f"{count} {label}" for label, count in detail["sides"])
    parts = ["", f"## Arrival {detail['index']}: {_text(detail['tag'].text)}", ""]
    parts += [f"{_text(detail['source'])}; won by {_text(detail['winner'])}", ""]
    parts += [f"{detail['rows']} new rows: {sides}. Digest {_text(detail['digest'])}."]
    if detail["findings"]:
        parts += ["", "### Findings", "", *_table(detail["findings"])]
    if detail["shortlist"]:
        parts += ["", "### Short list", ""]
        parts += [f"- {_text(start)}: {_text(reason)}" for start, reason in detail["shortlist"]]
    if detail["entrants"]:
        parts += ["", "### Race", "", detail["cost"], "", *_table(detail["entrants"])]
    if detail["plans"]:
        parts += ["", "### Start plans", "", *_table(detail["plans"])]
    parts += ["", "### Gate", "", *(f"- {_text(reason)}" for reason in detail["reasons"])]
    if detail["gate"]:
        parts += ["", *_table(detail["gate"])]
    if detail["terms"]:
        parts += ["", f"Settings: {_text(detail['terms'])}"]
    if detail["regressed"]:
        parts += ["", "### Items that got worse", "", *_table(detail["regressed"])]
    return parts


def _table(grid: Grid) -> list[str]:
    # Charts are for the page; their numbers stand in the other columns.
    drawn = {place for row in grid.rows for place, cell in enumerate(row) if cell.svg}
    places = [place for place in range(len(grid.head)) if place not in drawn]
    marks = ["---:" if grid.rows and grid.rows[0][place].kind == "number" else "---" for place in places]
    rows = [[grid.head[place] for place in places]]
    rows += [[row[place].text for place in places] for row in grid.rows]
    lines = [f"| {' | '.join(_text(text) for text in row)} |" for row in rows]
    return [lines[0], f"| {' | '.join(marks)} |", *lines[1:]]


def _text(value: str) -> str:
    """One line of plain text: HTML and Markdown marks escaped."""
    line = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)
