"""Small plots as SVG text, for result folders and the README: the same bytes everywhere."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Point", "curves", "scatter"]

Point = tuple[str, float, float, float]

# Okabe and Ito's colours, told apart by readers with any colour vision.
_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6A00")
_W, _H, _LEFT, _TOP, _BOTTOM = 420, 320, 56, 34, 46


def curves(panels: Mapping[str, Mapping[str, Sequence[float]]], path: Path, *, xlabel: str) -> Path:
    """One panel for each mapping, one line for each series, a legend on the right."""
    parts, names = [], list(next(iter(panels.values())))
    for place, (title, series) in enumerate(panels.items()):
        xs = [float(i + 1) for i in range(max(len(values) for values in series.values()))]
        ys = [value for values in series.values() for value in values]
        axes = _Axes(place * _W, xs, ys)
        parts.append(axes.frame(title, xlabel))
        for number, values in enumerate(series.values()):
            points = " ".join(f"{axes.x(i + 1):.1f},{axes.y(v):.1f}" for i, v in enumerate(values))
            colour = _COLOURS[number % len(_COLOURS)]
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    width = _W * len(panels)
    for number, name in enumerate(names):
        y, colour = _TOP + 10 + 20 * number, _COLOURS[number % len(_COLOURS)]
        parts.append(f'<rect x="{width + 8}" y="{y - 5}" width="18" height="4" fill="{colour}"/>')
        parts.append(_text(width + 32, y + 1, name, anchor="start"))
    return _save(path, width + 170, parts)


def scatter(
    points: Sequence[Point], path: Path, *, title: str, xlabel: str, line: Sequence[str] = ()
) -> Path:
    """Named points with a vertical error bar: (name, x, y, half height); ``line`` joins some of them."""
    axes = _Axes(0, [p[1] for p in points], [p[2] + s * p[3] for p in points for s in (-1, 1)], width=640)
    parts = [axes.frame(title, xlabel)]
    joined = sorted((p for p in points if p[0] in line), key=lambda p: p[1])
    track = " ".join(f"{axes.x(p[1]):.1f},{axes.y(p[2]):.1f}" for p in joined)
    parts.append(
        f'<polyline points="{track}" fill="none" stroke="#0072B2" stroke-width="1.5" opacity="0.6"/>'
    )
    for name, x, y, half in points:
        colour = "#0072B2" if name in line else "#D55E00"
        px, py = axes.x(x), axes.y(y)
        parts.append(
            f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{axes.y(y - half):.1f}" y2="{axes.y(y + half):.1f}" '
            f'stroke="{colour}" stroke-width="1.2"/>'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4.5" fill="{colour}"/>'
        )
        parts.append(_text(px + 8, py - 6, name, anchor="start"))
    return _save(path, 700, parts)


class _Axes:
    def __init__(self, left: float, xs: Sequence[float], ys: Sequence[float], width: float = _W) -> None:
        self.left, self.width = left + _LEFT, width - _LEFT - 16
        self.x0, self.x1 = _padded(xs)
        self.y0, self.y1 = _padded(ys)

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * self.width

    def y(self, value: float) -> float:
        return _H - _BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (_H - _TOP - _BOTTOM)

    def frame(self, title: str, xlabel: str) -> str:
        right, bottom = self.left + self.width, _H - _BOTTOM
        parts = [_text((self.left + right) / 2, 20, title, size=14)]
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            value = self.y0 + share * (self.y1 - self.y0)
            y = self.y(value)
            parts.append(f'<line x1="{self.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>')
            parts.append(_text(self.left - 6, y + 4, f"{value:.4g}", anchor="end"))
            across = self.x0 + share * (self.x1 - self.x0)
            parts.append(_text(self.x(across), bottom + 16, f"{across:.3g}"))
        parts.append(_text((self.left + right) / 2, bottom + 36, xlabel))
        return "".join(parts)


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222">'
        f"{html.escape(text)}</text>"
    )


def _save(path: Path, width: float, parts: Sequence[str]) -> Path:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {_H}" width="{width:.0f}" '
        f'height="{_H}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="#fff"/>'
    )
    path.write_text(head + "\n".join(parts) + "</svg>\n", encoding="utf-8")
    return path
