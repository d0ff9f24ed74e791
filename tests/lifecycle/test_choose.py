"""From findings and history to a short list."""

from __future__ import annotations

import pytest

from headstart.errors import InputError
from headstart.lifecycle.choose import choose
from headstart.lifecycle.plan import StartSpec, make_start, parse_starts
from headstart.lifecycle.settings import RaceSettings

STARTS = parse_starts(["spectral-temper", "shrink-perturb", "scratch"])


def races(*winners):
    return [{"winner": winner, "raced": True} for winner in winners]


def pick(history, *, shifted=False, parent=True, **settings):
    return choose(STARTS, [], history, RaceSettings(**settings), shifted=shifted, parent=parent)


def labels(choices):
    return [choice.spec.label for choice in choices]


def test_without_a_parent_only_a_start_that_needs_none_runs():
    assert labels(pick([], parent=False)) == ["scratch"]


def test_the_first_race_is_among_all():
    choices = pick(races())
    assert labels(choices) == ["spectral-temper", "shrink-perturb", "scratch"]
    assert all(choice.reason for choice in choices)


def test_a_settled_winner_runs_alone():
    choices = pick(races("shrink-perturb"))
    assert labels(choices) == ["shrink-perturb"]
    assert "nothing shifted" in choices[0].reason


def test_a_shift_brings_all_back_with_the_last_winner_first():
    assert labels(pick(races("shrink-perturb"), shifted=True))[0] == "shrink-perturb"
    assert len(pick(races("shrink-perturb"), shifted=True)) == 3


def test_more_races_can_be_asked_for_before_it_counts_as_settled():
    assert len(pick(races("shrink-perturb"), settled=2)) == 3
    assert len(pick(races("scratch", "shrink-perturb"), settled=2)) == 3
    assert len(pick(races("shrink-perturb", "shrink-perturb"), settled=2)) == 1


def test_now_and_then_a_challenger_races_and_they_take_turns():
    won = "spectral-temper"
    assert labels(pick(races(*[won] * 5))) == [won, "shrink-perturb"]
    assert labels(pick(races(*[won] * 10))) == [won, "scratch"]
    assert labels(pick(races(*[won] * 6))) == [won]
    assert labels(pick(races(*[won] * 5), challenge_every=0)) == [won]


def test_the_list_is_no_longer_than_asked_for():
    assert len(pick(races(), entrants=2)) == 2


def test_specs_are_read_from_text():
    spec = StartSpec.parse("spectral-temper:power=0.25,pull=0.1")
    assert spec.settings == {"power": 0.25, "pull": 0.1}
    assert spec.label == "spectral-temper(power=0.25, pull=0.1)"
    assert make_start(spec).power == 0.25


@pytest.mark.parametrize(
    "starts",
    [
        [],
        "warm",
        ["no-such"],
        ["warm", "warm"],
        ["spectral-temper:power"],
        ["spectral-temper:speed=1"],
        ["spectral-temper:power=2"],
        ["shrink-perturb:shrink='x'"],
        [3],
    ],
)
def test_wrong_starts_are_refused(starts):
    with pytest.raises(InputError) as caught:
        parse_starts(starts)
    assert caught.value.fix and caught.value.where
