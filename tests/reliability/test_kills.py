"""Work on a store killed at every named point, at random moments and by polite signals, and done again.

The campaign does the work and the comparing (see its module); here its fast subset runs, and what it would
call a problem is made on purpose, to see that it would notice.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability import kills
from benchmarks.reliability._campaign import Outcome, Setting
from headstart.lifecycle.failpoints import POINTS


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return {o.figure: o for o in kills.run(Setting(folder=tmp_path_factory.mktemp("kills")))}


def test_killed_anywhere_nothing_is_lost_and_the_same_work_ends_the_same(
    outcomes: dict[str, Outcome],
) -> None:
    found = outcomes["R1"]
    assert found.violations == 0, found.examples
    assert found.counts["named points"] == found.counts["named"] == len(POINTS)
    assert found.counts["random"] >= 2


def test_a_signal_stops_it_within_a_step_and_it_goes_on_from_there(outcomes: dict[str, Outcome]) -> None:
    found = outcomes["R8"]
    assert found.violations == 0, found.examples
    assert found.cases >= 2 and found.counts["most steps begun after the signal"] <= 1


def test_committing_points_leave_what_they_say(tmp_path: Path) -> None:
    points = ("before-row:3", "after-row:3", "before-promotion:2", "after-promotion:2", "before-removal:1")
    requests = [{"do": "kill", "kind": "store", "seed": 0, "point": point} for point in points]
    states = {
        request["point"]: answer["looked"]["value"]
        for request, answer in kills.answers(Setting(folder=tmp_path), requests)
    }
    assert [len(states[p]["versions"]) for p in points[:2]] == [0, 1]
    assert [len(states[p]["log"]) for p in points[2:4]] == [1, 2]
    assert [a[2] for a in states["before-removal:1"]["arrivals"]] == [True, False]


STATE: dict[str, Any] = {
    "problems": [], "versions": [["a", []], ["b", ["a"]]], "champion": "b", "left": [], "remembered": "x",
    "log": [["promote", "a", None], ["promote", "b", "a"]], "arrivals": [["d", 3]], "records": {}, "runs": [],
}  # fmt: skip
DOINGS: dict[str, dict[str, Any]] = {
    "the victim survived": {"killed": {"code": 0}},
    "the store does not open": {"looked": {"code": 1, "error": "boom"}},
    "the work cannot be done again": {"again": {"code": 1}},
    "damage": {"looked": {"value": {"problems": ["damaged"]}}},
    "a temporary folder stays": {"looked": {"value": {"left": ["versions/.tmp-1"]}}},
    "a version was lost": {"looked": {"value": {"versions": []}}},
    "another version": {"looked": {"value": {"versions": [["a", []], ["c", ["a"]]]}}},
    "no champion": {"looked": {"value": {"champion": None}}},
    "an old champion": {"looked": {"value": {"champion": "a"}}},
    "another end": {"final": {"value": {"remembered": "y"}}},
    "a run that is not cleaned up": {"final": {"value": {"runs": ["r1"]}}},
}


def merged(known: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    return {**known, **{key: merged(known.get(key), value) for key, value in change.items()}}


@pytest.mark.parametrize("name", DOINGS)
def test_the_campaign_would_notice(name: str) -> None:
    sound = {
        "whole": {"state": STATE, "before": {**STATE, "versions": [["a", []]], "log": [], "arrivals": []}},
        "killed": {"code": -9},
        "again": {"code": 0},
        **{part: {"code": 0, "value": copy.deepcopy(STATE)} for part in ("looked", "final")},
    }
    assert kills.problem(sound, -9) is None
    assert kills.problem(merged(sound, DOINGS[name]), -9)
