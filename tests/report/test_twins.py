"""The Markdown and JSON twins, and how the three files are written."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.report import render_html, render_markdown, write
from tests.report.story import story
from tests.report.test_report import PAYLOADS, blanked, poisoned


def tables(text: str) -> list[list[list[str]]]:
    """Rows of cells of every table."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()] for block in blocks]


@pytest.mark.parametrize("payload", ["plain", "a|b\nc\r\nd", "\\|", *PAYLOADS])
def test_markdown_tables_keep_their_shape(payload: str) -> None:
    told = story(2)
    shapes = [[len(row) for row in table] for table in tables(render_markdown(told))]
    assert all(len(set(shape)) == 1 for shape in shapes) and len(shapes) == 10
    assert [[len(row) for row in t] for t in tables(render_markdown(poisoned(told, payload)))] == shapes


@pytest.mark.parametrize("payload", [*PAYLOADS, "[x](y)", "![x](y)", "# x", "@all https://x.y www.x.y"])
def test_markdown_holds_no_markup_of_users(payload: str) -> None:
    text = render_markdown(poisoned(story(2), payload))
    assert not re.search(r"<[a-zA-Z/!]", text)
    assert not re.search(r"(?<!\\)(\]\(|@all|https://|www\.)", text)
    assert {line.split(" ")[0] for line in text.splitlines() if line.startswith("#")} == {"#", "##", "###"}


def test_markdown_says_what_the_page_says() -> None:
    text = render_markdown(story())
    for part in (
        "**Promoted**",
        "49%",
        "label-shift",
        "language=label",
        "dropped at rung 1",
        "my parcel did not",
    ):
        assert part in text, part
    assert text.count("\n## Arrival ") == 5


def test_markdown_stands_missing_values_and_empty_stores() -> None:
    assert "None" not in render_markdown(blanked(story(2)))
    assert "Nothing has arrived yet" in render_markdown({})


def test_json_is_the_story(tmp_path: Path) -> None:
    told = story()
    path = write(told, tmp_path / "a" / "b")
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == json.loads(json.dumps(told))
    assert path.read_text("utf-8") == render_html(told)
    assert path.with_suffix(".md").read_text("utf-8") == render_markdown(told)
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.json", "report.md"]


def test_what_is_not_a_number_becomes_null(tmp_path: Path) -> None:
    told = story(2)
    told["arrivals"][0]["candidate_score"] = float("nan")
    told["arrivals"][1]["entrants"][0]["curve"] = ((1, float("inf")), (2, 0.5))
    text = write(told, tmp_path).with_suffix(".json").read_text("utf-8")
    read = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert read["arrivals"][0]["candidate_score"] is None
    assert read["arrivals"][1]["entrants"][0]["curve"] == [[1, None], [2, 0.5]]


def test_a_write_that_fails_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(story(1), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="free some space"):
        write(story(3), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_are_flushed_before_they_take_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("fsync"), fsync(handle))[1])

    def recorded(source: str, target: Path) -> None:
        assert Path(source).parent == target.parent
        steps.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", recorded)
    write(story(1), tmp_path)
    names = [step for step in steps if step != "fsync"]
    assert names == ["report.json", "report.md", "report.html"]
    assert all(steps[steps.index(name) - 1] == "fsync" == steps[steps.index(name) + 1] for name in names)
