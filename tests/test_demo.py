"""The demo: real data, at least five arrivals, the summary that the README promises."""

from __future__ import annotations

import json

import pytest

from headstart import demo
from headstart.errors import InputError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    pytest.importorskip("sklearn")
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, demo.run(out, seed=1)


def test_the_summary_has_what_is_promised(finished):
    out, summary = finished
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert len(summary["arrivals"]) >= 5
    for index, arrival in enumerate(summary["arrivals"], start=1):
        assert arrival["index"] == index
        for key in ("rows_total", "rows_new", "findings", "entrants", "winner", "decision", "champion_score",
                    "candidate_score", "steps_spent", "seconds"):  # fmt: skip
            assert key in arrival
    assert {"steps_spent", "steps_scratch", "score_final", "score_scratch_final"} <= set(summary["totals"])


def test_keeping_current_costs_less_and_the_report_is_there(finished):
    out, summary = finished
    totals = summary["totals"]
    assert totals["steps_spent"] < totals["steps_scratch"]
    assert totals["score_final"] > 0.9
    assert "Digits, kept current" in (out / "report.html").read_text(encoding="utf-8")


def test_again_in_the_same_folder_it_finds_what_was_done(finished):
    out, summary = finished
    assert demo.run(out, seed=1) == summary


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="not a demo"):
        demo.run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
