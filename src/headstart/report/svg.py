"""Charts as inline SVG: readable without scripts, coloured by the page's style sheet."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Line", "bars", "lineage", "lines"]

Points = Sequence[tuple[float, float]]
_W, _H, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 250, 58, 14, 12, 40


class Line:
    """A named line: points, a style class, and whether its end is marked as dropped."""

    def __init__(
        self, name: str, points: Points, *, style: str, dropped: bool = False, dashed: bool = False
    ) -> None:
        self.name, self.points, self.style = name, points, style
        self.dropped, self.dashed = dropped, dashed


def lines(chart: Sequence[Line], *, xlabel: str, ylabel: str, label: str) -> str:
    """A line chart with a legend below it; "" when there is nothing to draw."""
    points = [point for line in chart for point in line.points]
    if not points:
        return ""
    axes = _Axes([p[0] for p in points], [p[1] for p in points])
    parts = [axes.grid(xlabel, ylabel)]
    for line in chart:
        parts.append(_path(axes, line))
    legend = "".join(
        f'<span class="key"><i class="{line.style}{" dashed" if line.dashed else ""}"></i>'
        f"{html.escape(line.name)}</span>"
        for line in chart
    )
    return (
        f'<figure><svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(parts)}</svg>"
        f'<figcaption class="legend">{legend}</figcaption></figure>'
    )


def bars(table: Mapping[str, Any], width: int = 180) -> str:
    """An interval against its margin: bar from lower to upper, dot at the estimate, line at -margin."""
    numbers = [table.get("lower"), table.get("upper"), table.get("d"), table.get("margin")]
    lower, upper, mean, margin = (None if value is None else float(value) for value in numbers)
    if lower is None or upper is None or mean is None:
        return ""
    limit = max(abs(lower), abs(upper), margin or 0.0, 1e-9) * 1.1

    def x(value: float) -> float:
        return width * (value + limit) / (2 * limit)

    return (
        f'<svg class="bar" viewBox="0 0 {width} 18" width="{width}" height="18" role="img" '
        f'aria-label="from {lower:+.4f} to {upper:+.4f}, margin {-(margin or 0):+.4f}">'
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="1" y2="17"/>'
        f'<line class="margin" x1="{x(-(margin or 0)):.1f}" x2="{x(-(margin or 0)):.1f}" y1="1" y2="17"/>'
        f'<line class="span" x1="{x(lower):.1f}" x2="{x(upper):.1f}" y1="9" y2="9"/>'
        f'<circle class="dot" cx="{x(mean):.1f}" cy="9" r="3.5"/></svg>'
    )


def lineage(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Sequence[str]]) -> str:
    """Versions from left to right; an edge from each parent; the champion has a ring."""
    if not nodes:
        return ""
    place = {str(node["id"]): index for index, node in enumerate(nodes)}
    step, height = 96, 120
    width = step * len(nodes) + 20
    parts = []
    for parent, child in edges:
        if parent in place and child in place:
            a, b = 58 + step * place[parent], 58 + step * place[child]
            lift = 42 - 9 * min(4, place[child] - place[parent] - 1)
            parts.append(f'<path class="edge" d="M{a},52 C{a},{lift} {b},{lift} {b},52"/>')
    for index, node in enumerate(nodes):
        x = 58 + step * index
        decision = str(node.get("decision") or "none")
        style = decision if decision in ("promote", "hold", "reject") else "none"
        title = html.escape(f"{node['id']}: {node.get('start', '')}, {decision}")
        ring = f'<circle class="ring" cx="{x}" cy="62" r="15"/>' if node.get("champion") else ""
        parts.append(
            f'<g><title>{title}</title>{ring}<circle class="node {style}" cx="{x}" cy="62" r="10"/>'
            f'<text x="{x}" y="92">{html.escape(str(node["id"])[:8])}</text>'
            f'<text class="dim" x="{x}" y="108">{html.escape(str(node.get("start") or ""))}</text></g>'
        )
    return (
        f'<div class="scroll"><svg class="lineage" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="Lineage of {len(nodes)} versions">'
        f"{''.join(parts)}</svg></div>"
    )


class _Axes:
    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.xticks, self.yticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))
        self.x0, self.x1 = self.xticks[0], self.xticks[-1]
        self.y0, self.y1 = self.yticks[0], self.yticks[-1]

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x0) / (self.x1 - self.x0) * (_W - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _H - _BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (_H - _TOP - _BOTTOM)

    def grid(self, xlabel: str, ylabel: str) -> str:
        parts = []
        for y in self.yticks:
            place = f"{self.y(y):.1f}"
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{place}" y2="{place}"/>')
            parts.append(f'<text class="tick end" x="{_LEFT - 7}" y="{self.y(y) + 4:.1f}">{y:g}</text>')
        for x in self.xticks:
            parts.append(f'<text class="tick" x="{self.x(x):.1f}" y="{_H - _BOTTOM + 16}">{x:g}</text>')
        middle = (_LEFT + _W - _RIGHT) / 2
        parts.append(f'<text class="tick" x="{middle}" y="{_H - 6}">{html.escape(xlabel)}</text>')
        parts.append(
            f'<text class="tick" transform="translate(12 {(_H - _BOTTOM + _TOP) / 2}) rotate(-90)">'
            f"{html.escape(ylabel)}</text>"
        )
        return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, that enclose a range."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * 5 >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _path(axes: _Axes, line: Line) -> str:
    if not line.points:
        return ""
    dashed = " dashed" if line.dashed else ""
    track = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line.points)
    parts = [f'<polyline class="line {line.style}{dashed}" points="{track}"/>']
    for x, y in line.points if len(line.points) <= 40 else line.points[-1:]:
        title = html.escape(f"{line.name}: {y:.4g} at {x:.4g}")
        parts.append(
            f'<circle class="point {line.style}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.6">'
            f"<title>{title}</title></circle>"
        )
    if line.dropped:
        x, y = axes.x(line.points[-1][0]), axes.y(line.points[-1][1])
        parts.append(f'<path class="cross {line.style}" d="M{x - 5:.1f},{y - 5:.1f} l10,10 m0,-10 l-10,10"/>')
    return "".join(parts)
