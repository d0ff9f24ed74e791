"""Every recipe runs at toy scale; results are written whole, resumed, and read by rule."""

from __future__ import annotations

import json

import pytest

from headstart.errors import InputError
from headstart.methods import papers
from headstart.recipes._recipe import Recipe, Summary, load, names
from headstart.recipes._runner import run_recipe
from headstart.recipes._stats import paired


@pytest.mark.parametrize("slug", names())
def test_a_recipe_runs_at_toy_scale_and_says_all(slug, tmp_path):
    pytest.importorskip("sklearn")
    path = run_recipe(slug, scale="toy", out=tmp_path / f"{slug}.toy.json")
    result = json.loads(path.read_text())
    assert result["command"] == f"headstart recipe run {slug} --scale toy"
    assert result["verdict"] in ("reproduced", "partly reproduced", "not reproduced")
    assert list(result["raw"]) == [str(seed) for seed in result["seeds"]]
    assert {"python", "torch", "numpy"} <= set(result["versions"])
    assert all({"name", "passed", "value", "bound"} <= set(c) for c in result["criteria"])
    assert all(len(row) == len(result["table"]["columns"]) for row in result["table"]["rows"])
    assert result["figures"] and all((tmp_path / name).stat().st_size > 500 for name in result["figures"])
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("slug", names())
def test_small_and_full_scale_are_there(slug):
    assert {"toy", "small", "full"} == set(load(slug).scales)
    assert len(load(slug).scales["small"]["seeds"]) >= 5


def test_every_method_is_proved_by_a_recipe_at_small_scale():
    from pathlib import Path

    proved = set()
    for file in (Path(__file__).parents[2] / "results").glob("*.small.json"):
        proved |= set(json.loads(file.read_text())["proves"])
    assert {paper.slug for paper in papers()} <= proved


def test_a_seed_that_was_run_is_not_run_again(tmp_path, monkeypatch):
    calls = []

    def one(seed, settings):
        calls.append(seed)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"value": seed}

    recipe = Recipe(
        "x", "a claim", {"toy": {"seeds": [1, 2, 3]}}, one, lambda raws, _: Summary(["a"], [[len(raws)]], [])
    )
    monkeypatch.setattr("headstart.recipes._runner.load", lambda slug: recipe)
    with pytest.raises(KeyboardInterrupt):
        run_recipe("x", out=tmp_path / "x.json")
    path = run_recipe("x", out=tmp_path / "x.json")
    assert calls == [1, 2, 3, 3]
    assert json.loads(path.read_text())["raw"] == {"1": {"value": 1}, "2": {"value": 2}, "3": {"value": 3}}


@pytest.mark.parametrize("wrong", [{"slug": "no-such"}, {"scale": "huge"}, {"seeds": []}, {"workers": 0}])
def test_wrong_arguments_are_refused(wrong, tmp_path):
    with pytest.raises(InputError):
        run_recipe(**{"slug": "update", "out": tmp_path / "r.json", **wrong})


def test_paired_intervals_are_students():
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = [1.0, 2.0, 4.0, 3.0], [0.5, 1.0, 3.5, 1.0]
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = paired(ours, theirs)
    assert (found.lower, found.upper) == pytest.approx((low, high), abs=1e-3)
