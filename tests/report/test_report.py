"""The page: self-contained, escaped, bounded, and complete with missing values."""

from __future__ import annotations

import copy
import json
import math
import re
from html.parser import HTMLParser

import pytest

from headstart.report import render_html, render_markdown, write
from headstart.report.view import number
from tests.report.story import story

PAYLOAD = "<script>alert('x')</script>\"'><img src=x onerror=y>&amp;{{ 7*7 }}`|\n#"


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.stack, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in ("meta", "br"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_well_formed_and_refers_to_nothing_outside():
    page = Page(render_html(story()))
    assert page.stack == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in ("src", "href", "action") or a[1].startswith("on")]
    assert "url(" not in render_html(story())


@pytest.mark.parametrize("payload", [PAYLOAD, "</style><script>", "javascript:1", "' onload='1"])
def test_what_users_wrote_is_never_markup(payload):
    page = Page(render_html(story(2, payload)))
    assert page.stack == []
    assert not {"script", "img"} & set(page.tags)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert any(payload.split("\n")[0][:20] in text for text in page.text)


def test_every_arrival_finding_start_and_reason_is_there():
    text = " ".join(Page(render_html(story())).text)
    for part in (
        "Arrival 5",
        "label-shift",
        "because of label",
        "reason label",
        "region=label",
        "spectral-temper",
    ):
        assert part in text


def test_missing_values_are_dashes_and_break_nothing():
    told = story(2)

    def blank(value):
        if isinstance(value, dict):
            return {k: blank(v) for k, v in value.items()}
        if isinstance(value, list):
            return [blank(v) for v in value]
        return None if isinstance(value, float) else value

    for version in (blank(told), {**copy.deepcopy(told), "totals": {}}):
        assert Page(render_html(version)).stack == []
        assert "None" not in " ".join(Page(render_html(version)).text)
        render_markdown(version)


def test_a_store_without_updates_has_a_page():
    empty = {**story(0), "arrivals": [], "lineage": {"nodes": [], "edges": []}}
    assert "Nothing has arrived yet" in render_html(empty)
    render_markdown(empty)


def test_the_page_stays_small_over_many_arrivals():
    assert len(render_html(story(200))) < 1_000_000
    assert render_html(story(200)).count("<details") == 20


def test_charts_place_points_by_their_values():
    page = render_html(story())
    [line] = re.findall(r'class="line c1 dashed" points="([^"]+)"', page)
    places = [tuple(map(float, pair.split(","))) for pair in line.split()]
    xs, ys = zip(*places, strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)  # cumulative steps rise, and SVG counts from the top
    assert math.isclose(xs[1] - xs[0], xs[2] - xs[1], abs_tol=0.11)


def test_markdown_tables_keep_their_columns():
    for line in render_markdown(story(2, "a|b")).splitlines():
        if line.startswith("|") and "---" not in line:
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            assert len(cells) in (4, 9)


def test_three_files_are_written_and_the_json_is_the_story(tmp_path):
    told = story()
    told["arrivals"][0]["candidate_score"] = float("nan")
    path = write(told, tmp_path / "out")
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.json", "report.md"]
    read = json.loads((path.parent / "report.json").read_text())
    assert read["arrivals"][0]["candidate_score"] is None
    assert read["arrivals"][1] == json.loads(json.dumps(told["arrivals"][1]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "–"),
        (12, "12"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        ("x", "–"),
    ],
)
def test_numbers_are_written_for_readers(value, text):
    assert number(value) == text
