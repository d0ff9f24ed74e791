"""The charts place what they show by its value."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from headstart.report.charts import Line, amounts, bars, good, lineage, lines, number, shares
from tests.report.story import story


def draw(*chart: Line, **options: bool) -> str:
    return lines(chart, title="t", xlabel="x", ylabel="y", **options)


def track(drawing: str, style: str) -> list[tuple[float, float]]:
    [points] = re.findall(rf'class="line {style}" points="([^"]+)"', drawing)
    return [tuple(map(float, pair.split(","))) for pair in points.split()]  # type: ignore[misc]


def test_points_lie_where_their_values_are() -> None:
    places = track(draw(Line("a", [(0, 0.0), (1, 5.0), (2, 10.0)])), "c0")
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11) and x0 < x1
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11) and y0 > y1  # SVG counts from the top


def test_ticks_say_what_the_scale_is() -> None:
    drawing = draw(Line("a", [(1, 0.0), (3, 10.0)]), whole=True)
    ticks = re.findall(r'<text class="tick end" x="[^"]+" y="([^"]+)">([^<]+)<', drawing)
    bottom, top = (next(float(y) for y, text in ticks if text == name) for name in ("0", "10"))
    (_, low), (_, high) = track(drawing, "c0")
    assert (low, high) == (pytest.approx(bottom - 4, abs=0.11), pytest.approx(top - 4, abs=0.11))
    assert re.findall(r'<text class="tick" x="[\d.]+" y="230">([^<]+)<', drawing) == ["1", "2", "3"]


def test_a_long_race_has_a_logarithmic_axis() -> None:
    places = track(draw(Line("a", [(1, 1.0), (10, 2.0), (100, 3.0)]), log=True), "c0")
    assert places[1][0] - places[0][0] == pytest.approx(places[2][0] - places[1][0], abs=0.11)


def test_lines_that_stop_early_end_with_a_cross() -> None:
    gone = Line("b", [(0, 1.0), (1, 1.5)], 1, ended="dropped at rung 1")
    drawing = draw(Line("a", [(0, 1.0), (2, 2.0)]), gone)
    assert drawing.count('class="cross') == 1
    assert "b (dropped at rung 1)" in drawing


def test_a_baseline_far_below_is_told_and_not_drawn() -> None:
    near = [Line("a", [(0, 0.90), (1, 0.92)]), Line("b", [(0, 0.6), (1, 0.6)], 6, context=True)]
    assert "b, off the scale: 0.600 to 0.600" in draw(*near)
    close = [near[0], Line("b", [(0, 0.88), (1, 0.88)], 6, context=True)]
    assert "off the scale" not in draw(*close)
    assert 'class="line c6"' in draw(*close)


@pytest.mark.parametrize(
    "points",
    [
        [(1, 0.5)],
        [(1, 0.5), (1, 0.5)],
        [(0, 1e99), (1, -1e99)],
        [(0, 1e16), (1, 1e16 + 2)],
        [(0, 5e-324), (1, 0.0)],
        [(-3, -1.0), (1e9, -1.0)],
        [(0, 1.0), (1, 1.0 + 1e-15)],
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_odd_numbers_can_be_drawn(points: list[tuple[float, float]], log: bool) -> None:
    drawing = draw(Line("a", points), log=log, whole=True)
    ElementTree.fromstring(drawing)
    assert "nan" not in drawing and "inf" not in drawing


def test_nothing_to_draw_is_nothing() -> None:
    assert (
        draw() == draw(Line("a", [])) == lineage([], []) == amounts([("a", 1, 0, False)]) == shares([]) == ""
    )
    assert bars([{}]) == [""]


def test_bars_share_one_scale_and_show_the_margin() -> None:
    one, two = bars(
        [
            {"d": 0.05, "lower": 0.0, "upper": 0.1, "margin": 0.1},
            {"d": 0.0, "lower": None, "upper": 0.05, "margin": 0.02},
        ]
    )
    dots = [float(re.findall(r'cx="([\d.]+)"', bar)[0]) for bar in (one, two)]
    zeros = [float(re.findall(r'class="zero" d="M([\d.]+)', bar)[0]) for bar in (one, two)]
    fence = float(re.findall(r'class="fence" d="M([\d.]+)', one)[0])
    assert zeros[0] == zeros[1] == dots[1] < dots[0]
    assert zeros[0] - fence == pytest.approx(2 * (dots[0] - zeros[0]), abs=0.2)
    assert "at least –, at most +0.0500" in two
    assert re.search(r'class="span" d="M1\.0,11', two)  # no bound: to the edge


def test_amounts_are_as_long_as_they_are_large() -> None:
    wide = re.findall(r'width="([\d.]+)"', amounts([("a", 50, 0, False), ("b", 100, 1, True)]))
    assert float(wide[1]) == pytest.approx(2 * float(wide[0]) + 1)
    assert amounts([("a", 50, 0, False), ("b", 100, 1, True)]).count("estimated") == 1


def test_the_lineage_leads_from_parent_to_child_and_marks_the_champion() -> None:
    told = story()["lineage"]
    drawing = lineage(told["nodes"], [*told["edges"], ["gone", told["nodes"][0]["id"]]])
    ElementTree.fromstring(drawing)
    assert drawing.count('class="edge"') == len(told["edges"])
    assert drawing.count('class="ring"') == 1
    assert [drawing.count(f'class="node {name}"') for name in ("promote", "hold", "reject")] == [3, 1, 1]
    assert f"{told['edges'][0][0]} is the parent of {told['edges'][0][1]}" in drawing


@pytest.mark.parametrize("text", ["<q>&\"'", "</svg><script>"])
def test_text_in_drawings_is_escaped(text: str) -> None:
    node = {"id": text, "start": text, "decision": text, "arrival": text, "score": text}
    drawings = [
        draw(Line(text, [(0, 1.0), (1, 2.0)], ended=text, sources=[text, text])),
        lines([Line(text, [(0, 1.0)])], title=text, xlabel=text, ylabel=text),
        lineage([node, {**node, "id": text + "2"}], [[text, text + "2"]]),
        amounts([(text, 1, 0, False), (text, 2, 1, True)]),
        shares([(text, 1, 0)]),
    ]
    for drawing in drawings:
        assert {element.tag for element in ElementTree.fromstring(drawing).iter()}.isdisjoint({"q", "script"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (True, "–"),
        ("12", "–"),
        (10**400, "–"),
        (0, "0"),
        (-0.0, "0"),
        (12, "12"),
        (12345, "12,345"),
        (-12345.0, "\N{MINUS SIGN}12,345"),
        (0.123456, "0.1235"),
        (0.95, "0.9500"),
        (0.001, "0.001"),
        (12.34567, "12.35"),
    ],
)
def test_numbers_are_written_for_readers(value: object, text: str) -> None:
    assert number(value) == text


def test_signs_are_written_where_asked() -> None:
    assert [number(v, sign=True) for v in (0.5, -0.5, 3, 0)] == ["+0.5000", "\N{MINUS SIGN}0.5000", "+3", "0"]
    assert good(1.5) and not good(math.nan) and not good(False)
