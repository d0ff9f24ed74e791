"""Charts as inline SVG: readable without a script, coloured by the page's style sheet.

Every line has a colour of the Okabe-Ito palette and a marker of its own, so that nothing is told by
colour alone. All text is escaped here; what these functions return is safe to put into the page.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

__all__ = ["Line", "amounts", "bars", "good", "lineage", "lines", "number", "plain", "shares"]

Points = Sequence[tuple[float, float]]
_W, _H, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 256, 70, 18, 12, 44
_STYLES, _DRAWN, _MARKED = 7, 120, 24
_MINUS = "\N{MINUS SIGN}"
# Control characters, marks that turn the direction of text around, halves of characters.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Line:
    """A named line.

    Attributes:
        name: what the legend says.
        points: (x, y) in order of x, finite.
        style: which colour and marker.
        dashed: for what is estimated or only context.
        ended: "" or why the line stops early; it then ends with a cross.
        strong: drawn thicker, for the one that matters.
        context: left out of the picture, and said in the legend, where it would squeeze the others flat.
        whiskers: (x, low, high) intervals.
        sources: where each point comes from, for its tooltip.
    """

    name: str
    points: Points
    style: int = 0
    dashed: bool = False
    ended: str = ""
    strong: bool = False
    context: bool = False
    whiskers: Sequence[tuple[float, float, float]] = ()
    sources: Sequence[str] = ()


def good(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100


def number(value: Any, digits: int = 4, *, sign: bool = False) -> str:
    """A number for a reader; a dash for what is missing or not finite.

    Args:
        value: anything.
        digits: decimals from 0.01 to 1, significant digits elsewhere.
        sign: write the sign of positive numbers too, as differences need.
    """
    if not good(value):
        return "–"
    plus = "+" if sign else ""
    if value == int(value) and abs(value) < 1e15:
        text = f"{int(value):{plus},}" if value else "0"
    elif 0.01 <= abs(value) < 1:
        text = f"{value:{plus}.{digits}f}"
    else:
        text = f"{value:{plus}.{digits}g}"
    return text.replace("-", _MINUS, 1) if text.startswith("-") else text


def plain(text: str) -> str:
    """Text with what would spoil a page or deceive its reader replaced."""
    return _HARMFUL.sub("\N{REPLACEMENT CHARACTER}", text)


def lines(
    chart: Sequence[Line], *, title: str, xlabel: str, ylabel: str, log: bool = False, whole: bool = False
) -> str:
    """A line chart with its legend; "" when there is nothing to draw.

    Args:
        chart: the lines.
        title: heading of the figure.
        xlabel, ylabel: of the axes.
        log: a logarithmic x axis where the points span more than a factor of 20.
        whole: ticks of the x axis at whole numbers only.
    """
    chart = [line for line in chart if line.points]
    shown = [line for line in chart if not line.context]
    hidden = [line for line in chart if line.context and shown and _squeezes(line, shown)]
    shown = [line for line in chart if line not in hidden]
    if not shown:
        return ""
    xs = [x for line in shown for x, _ in line.points]
    ys = [y for line in shown for _, y in line.points]
    ys += [y for line in shown for _, *ends in line.whiskers for y in ends]
    axes = _Axes(xs, ys, log=log, whole=whole)
    drawn = "".join(_drawn(axes, line, xlabel) for line in sorted(shown, key=lambda line: line.strong))
    keys = "".join(_key(line, hidden=line in hidden) for line in chart)
    said = f"{title}: {ylabel} against {xlabel}, {', '.join(line.name for line in shown)}"
    return (
        f'<figure class="chart"><figcaption>{_esc(title)}</figcaption>'
        f'<svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{_esc(said)}">'
        f'{axes.grid(xlabel, ylabel)}{drawn}</svg><ul class="legend">{keys}</ul></figure>'
    )


def bars(tables: Sequence[Mapping[str, Any]], *, width: int = 150) -> list[str]:
    """One small bar for each table, all on one scale: bounds, estimate, zero and the margin.

    A bound that is not there is drawn as an arrow to the edge.
    """
    numbers = [table.get(key) for table in tables for key in ("lower", "upper", "d", "margin")]
    limit = 1.12 * max([abs(float(value)) for value in numbers if good(value)], default=0.0)
    return [_bar(table, limit, width) if limit and good(table.get("d")) else "" for table in tables]


def amounts(rows: Sequence[tuple[str, Any, int, bool]]) -> str:
    """Horizontal bars from zero: (label, value, style, whether estimated); "" without two values."""
    rows = [row for row in rows if good(row[1])]
    most = max((row[1] for row in rows), default=0)
    if len(rows) < 2 or most <= 0:
        return ""
    parts = []
    for place, (label, value, style, estimated) in enumerate(rows):
        y, length = 38 * place, max(2.0, 300 * value / most)
        parts.append(
            f'<text class="tick start" x="0" y="{y + 12}">{_esc(label)}</text>'
            f'<text class="tick end" x="300" y="{y + 12}">{number(value)}</text>'
            f'<rect class="amount c{style}{" estimated" if estimated else ""}" x="0.5" y="{y + 18}" '
            f'width="{length - 1:.1f}" height="9" rx="2"/>'
        )
    said = ", ".join(f"{label} {number(value)}" for label, value, _, _ in rows)
    return (
        f'<svg viewBox="0 0 300 {38 * len(rows)}" role="img" aria-label="{_esc(said)}">{"".join(parts)}</svg>'
    )


def shares(parts: Sequence[tuple[str, Any, int]]) -> str:
    """One stacked bar of (label, count, style) with its counts below; "" when there is nothing."""
    parts = [part for part in parts if good(part[1]) and part[1] > 0]
    total = sum(part[1] for part in parts)
    if not total:
        return ""
    pieces, x = [], 0.0
    for label, count, style in parts:
        wide = 600 * count / total
        pieces.append(
            f'<rect class="share c{style}" x="{x:.1f}" width="{max(1.0, wide - 2):.1f}" height="12" rx="2">'
            f"<title>{_esc(label)}: {number(count)} ({count / total:.0%})</title></rect>"
        )
        x += wide
    keys = "".join(
        f'<li><i class="swatch c{style}"></i>{_esc(label)} <b>{number(count)}</b></li>'
        for label, count, style in parts
    )
    said = ", ".join(f"{label} {number(count)}" for label, count, _ in parts)
    return (
        f'<figure class="shares"><svg viewBox="0 0 600 12" preserveAspectRatio="none" role="img" '
        f'aria-label="{_esc(said)}">{"".join(pieces)}</svg><ul class="legend">{keys}</ul></figure>'
    )


def lineage(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Sequence[Any]]) -> str:
    """Versions from left to right, those put in service on the upper lane; an edge from each parent."""
    if not nodes:
        return ""
    step, left, lanes = 122, 70, (50, 150)
    places = {}
    for index, node in enumerate(nodes):
        places[str(node.get("id"))] = (left + step * index, lanes[node.get("decision") != "promote"])
    arcs = [
        _arc(places[str(parent)], places[str(child)], step, f"{parent} is the parent of {child}")
        for parent, child in edges
        if None not in (parent, child) and str(parent) in places and str(child) in places
    ]
    drawn = [_node(node, *places[str(node.get("id"))]) for node in nodes]
    # Room below only where a version was not put in service.
    height = 206 if any(y == lanes[1] for _, y in places.values()) else 106
    width = left * 2 + step * (len(nodes) - 1)
    return (
        f'<svg class="lineage" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Lineage of {len(nodes)} versions">{"".join(arcs)}{"".join(drawn)}</svg>'
    )


class _Axes:
    def __init__(self, xs: Sequence[float], ys: Sequence[float], *, log: bool, whole: bool) -> None:
        low, high = min(xs), max(xs)
        self.log = log and low >= 1 and high > 20 * low
        if low == high:
            low, high = low - 0.5, high + 0.5
        self.low, self.high = self._scale(low), self._scale(high)
        self.xticks = _log_ticks(low, high) if self.log else _inside(low, high, 1.0 if whole else 0.0)
        self.yticks = _around(min(ys), max(ys))

    def _scale(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def x(self, value: float) -> float:
        share = (self._scale(value) - self.low) / (self.high - self.low)
        return _LEFT + share * (_W - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.yticks[0], self.yticks[-1]
        return _H - _BOTTOM - (value - low) / (high - low) * (_H - _TOP - _BOTTOM)

    def grid(self, xlabel: str, ylabel: str) -> str:
        parts = []
        for y in self.yticks:
            place = self.y(y)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
                f'<text class="tick end" x="{_LEFT - 9}" y="{place + 4:.1f}">{_tick(y)}</text>'
            )
        for x in self.xticks:
            parts.append(f'<text class="tick" x="{self.x(x):.1f}" y="{_H - _BOTTOM + 18}">{_tick(x)}</text>')
        middle = (_LEFT + _W - _RIGHT) / 2
        scale = " (log scale)" if self.log else ""
        parts.append(f'<text class="tick" x="{middle}" y="{_H - 7}">{_esc(xlabel)}{scale}</text>')
        turned = f"translate(12 {(_H - _BOTTOM + _TOP) / 2}) rotate(-90)"
        return "".join(parts) + f'<text class="tick" transform="{turned}">{_esc(ylabel)}</text>'


def _squeezes(line: Line, shown: Sequence[Line]) -> bool:
    # Context may take at most two thirds of the height.
    core = [y for other in shown for _, y in other.points]
    every = core + [y for _, y in line.points]
    return max(every) - min(every) > 3 * (max(core) - min(core)) > 0


def _drawn(axes: _Axes, line: Line, xlabel: str) -> str:
    look = f"c{line.style % _STYLES}{' dashed' if line.dashed else ''}{' strong' if line.strong else ''}"
    track = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in _thinned(line.points, _DRAWN))
    parts = [f'<polyline class="line {look}" points="{track}"/>']
    for x, low, high in line.whiskers:
        place = f"{axes.x(x):.1f}"
        parts.append(
            f'<line class="whisker {look}" x1="{place}" x2="{place}" '
            f'y1="{axes.y(low):.1f}" y2="{axes.y(high):.1f}"/>'
        )
    quiet = " quiet" if len(line.points) > _MARKED else ""
    for index in _thinned(range(len(line.points)), _MARKED):
        x, y = line.points[index]
        source = f" · {line.sources[index]}" if index < len(line.sources) else ""
        said = f"{line.name}: {number(y)} at {xlabel} {number(x)}{source}"
        shape = _shape(line.style, axes.x(x), axes.y(y), 3.6)
        parts.append(f'<path class="pt {look}{quiet}" d="{shape}"><title>{_esc(said)}</title></path>')
    if line.ended:
        x, y = axes.x(line.points[-1][0]), axes.y(line.points[-1][1])
        cross = f"M{x - 6:.1f},{y - 6:.1f}l12,12m0,-12l-12,12"
        parts.append(f'<path class="cross {look}" d="{cross}"><title>{_esc(line.ended)}</title></path>')
    return "".join(parts)


def _key(line: Line, *, hidden: bool) -> str:
    look = f"c{line.style % _STYLES}{' dashed' if line.dashed else ''}"
    name = f"{line.name} ({line.ended})" if line.ended else line.name
    if hidden:
        values = [y for _, y in line.points]
        name += f", off the scale: {number(min(values), 3)} to {number(max(values), 3)}"
    return (
        f'<li><svg class="key" viewBox="0 0 26 12" aria-hidden="true"><path class="line {look}" d="M1,6h24"/>'
        f'<path class="pt {look}" d="{_shape(line.style, 13, 6, 3.6)}"/></svg>{_esc(name)}</li>'
    )


def _shape(style: int, x: float, y: float, r: float) -> str:
    """A marker's outline: circle, square, diamond, triangle, or the triangle upside down."""
    kind = style % 5
    if kind == 0:
        return f"M{x - r:.1f},{y:.1f}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0z"
    if kind == 1:
        return f"M{x - r * 0.9:.1f},{y - r * 0.9:.1f}h{r * 1.8:.1f}v{r * 1.8:.1f}h{-r * 1.8:.1f}z"
    if kind == 2:
        s = r * 1.25
        return f"M{x:.1f},{y - s:.1f}l{s:.1f},{s:.1f}l{-s:.1f},{s:.1f}l{-s:.1f},{-s:.1f}z"
    up = r if kind == 3 else -r
    return f"M{x:.1f},{y - up * 1.2:.1f}l{r * 1.2:.1f},{up * 2.1:.1f}h{-r * 2.4:.1f}z"


def _bar(table: Mapping[str, Any], limit: float, width: int) -> str:
    place: Callable[[float], float] = lambda value: width * (value + limit) / (2 * limit)  # noqa: E731
    lower, upper, mean = table.get("lower"), table.get("upper"), float(table["d"])
    ends = [
        place(lower) if good(lower) else 1.0,
        place(upper) if good(upper) else width - 1.0,
    ]
    caps = [
        f"M{x:.1f},7v8" if good(bound) else f"M{x + turn:.1f},7l{-turn},4l{turn},4"
        for x, bound, turn in zip(ends, (lower, upper), (4, -4), strict=True)
    ]
    margin = table.get("margin")
    fence = f'<path class="fence" d="M{place(-margin):.1f},1v20"/>' if good(margin) else ""
    said = (
        f"difference {number(mean, sign=True)}, at least {number(lower, sign=True)}, "
        f"at most {number(upper, sign=True)}, margin {_MINUS}{number(margin)}"
    )
    return (
        f'<svg class="bar" viewBox="0 0 {width} 22" width="{width}" height="22" role="img" '
        f'aria-label="{_esc(said)}"><title>{_esc(said)}</title>'
        f'<path class="zero" d="M{place(0.0):.1f},1v20"/>{fence}'
        f'<path class="span" d="M{ends[0]:.1f},11H{ends[1]:.1f}{"".join(caps)}"/>'
        f'<circle class="dot" cx="{place(mean):.1f}" cy="11" r="4"/></svg>'
    )


def _arc(start: tuple[int, int], end: tuple[int, int], step: int, said: str) -> str:
    (x0, y0), (x1, y1) = start, end
    if y0 == y1 and abs(x1 - x0) > step:
        # Over the heads of the versions between.
        path = f"M{x0},{y0}C{x0 + 34},{y0 - 44} {x1 - 34},{y1 - 44} {x1},{y1}"
    else:
        middle = (x0 + x1) / 2
        path = f"M{x0},{y0}C{middle},{y0} {middle},{y1} {x1},{y1}"
    return f'<path class="edge" d="{path}"><title>{_esc(said)}</title></path>'


def _node(node: Mapping[str, Any], x: int, y: int) -> str:
    decision, name = str(node.get("decision") or "no decision"), str(node.get("id") or "–")
    tones = {"promote": 0, "hold": 2, "reject": 1}
    tone = decision if decision in tones else "none"
    start = str(node.get("start") or "–")
    champion = bool(node.get("champion"))
    arrival, score = number(node.get("arrival")), number(node.get("score"))
    said = f"{name}: arrival {arrival}, {start}, {decision}, score {score}"
    ring = f'<circle class="ring" cx="{x}" cy="{y}" r="17"/>' if champion else ""
    above = "champion" if champion else decision
    shape = _shape(tones.get(tone, 3), x, y, 9)
    return (
        f"<g><title>{_esc(said + (', champion' if champion else ''))}</title>{ring}"
        f'<circle class="back" cx="{x}" cy="{y}" r="14"/><path class="node {tone}" d="{shape}"/>'
        f'<text class="over{" ring-name" if champion else ""}" x="{x}" y="{y - 24}">{_esc(above[:12])}</text>'
        f'<text class="id" x="{x}" y="{y + 34}">{_esc(name[:8])}</text>'
        f'<text class="dim" x="{x}" y="{y + 49}">{_esc(start[:18])}</text></g>'
    )


def _step(span: float) -> float:
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * 5 >= span)


def _around(low: float, high: float) -> list[float]:
    """Round numbers that enclose a range."""
    step = _step(max(high - low, abs(high) * 1e-6, 1e-9))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * place for place in range(first, max(last, first + 1) + 1)]


def _inside(low: float, high: float, least: float) -> list[float]:
    """Round numbers within a range, at least ``least`` apart."""
    step = max(_step(max(high - low, abs(high) * 1e-6, 1e-9)), least)
    return [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [power * factor for power in powers for factor in factors if low <= power * factor <= high]


def _tick(value: float) -> str:
    text = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", _MINUS, 1) if text.startswith("-") else text


def _thinned(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread, the first and the last always among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _esc(text: str) -> str:
    return html.escape(plain(text[:300]))
