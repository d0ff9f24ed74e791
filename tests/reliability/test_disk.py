"""The disk is full, or a right is lost: the fast subset of the campaign, and single cases of it."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.reliability import disk
from benchmarks.reliability._campaign import Outcome, Setting
from benchmarks.reliability._scarce import ACTIONS


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return disk.run(Setting(folder=tmp_path_factory.mktemp("disk")))[0]


def test_nothing_breaks_when_space_inodes_or_rights_run_out(outcome: Outcome) -> None:
    assert outcome.examples == () and outcome.violations == 0


def test_a_right_that_is_lost_was_tried(outcome: Outcome) -> None:
    assert outcome.counts["denied"] == disk.FEW["denied"]


def test_full_and_read_only_disks_were_tried(outcome: Outcome) -> None:
    if outcome.notes:
        assert not outcome.met
        pytest.skip(outcome.notes[0])
    assert outcome.cases == sum(disk.FEW.values()) and outcome.met
    refused = outcome.counts["refused"]
    assert refused.keys() >= {"arrival", "checkpoint", "commit", "update"} and sum(refused.values()) >= 12
    assert outcome.counts["told"].keys() >= {"the store's database refused", "the file system refused"}


def test_the_full_size_tries_every_action_with_200_sizes_and_spaces() -> None:
    every = disk.cases(Random(0))
    space = [case for case in every if case["condition"] == "space"]
    assert len(every) >= 220
    assert len({(case["action"], case["size"], case["left"]) for case in space}) >= 200
    for action in (*ACTIONS, "update"):
        assert 0 in {case["left"] for case in space if case["action"] == action}
    assert {case["condition"] for case in every} == disk.FEW.keys()
