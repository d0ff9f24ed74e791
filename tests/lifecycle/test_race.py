"""Rungs, ranking and budgets of the race."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from headstart.errors import DivergedError
from headstart.lifecycle.budget import Budget, Spent
from headstart.lifecycle.race import Rung, leads, race, rung_steps, total
from headstart.lifecycle.settings import RaceSettings


@dataclass
class Fake:
    label: str
    rights: int = 50
    progress: float = 0.5
    diverges_at: int | None = None
    extra: Spent = field(default_factory=Spent)
    steps: int = 0
    finished: bool = False

    @property
    def spent(self) -> Spent:
        return Spent(steps=self.steps)

    def advance(self, until: int) -> None:
        if self.diverges_at is not None and until >= self.diverges_at:
            raise DivergedError("diverged", where=f"step {until}", got="nan", fix="lower the rate")
        self.steps = max(self.steps, until)

    def held_out(self) -> Tensor:
        return torch.tensor([1.0] * self.rights + [0.0] * (100 - self.rights))


def run(racers, expected=400, budget=None, **settings):
    return race(racers, expected=expected, settings=RaceSettings(**settings), budget=budget or Budget())


@pytest.mark.parametrize("entrants", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("rungs", [1, 2, 4])
@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_losers_together_stay_within_their_share(entrants, rungs, share):
    expected, settings = 10_000, RaceSettings(rungs=rungs, share=share)
    plan = rung_steps(entrants, expected, settings)
    left, cost = entrants, 0
    for steps, survivors in plan:
        cost += (left - survivors) * steps
        left = survivors
    assert left == 1
    assert cost <= share * expected
    assert [s for s, _ in plan] == sorted(s for s, _ in plan)


def test_a_proven_lead_wins():
    winner, rungs = run([Fake("cheap", 50, 0.9), Fake("good", 80, 0.5)])
    assert winner.label == "good"
    assert "proven ahead" in rungs[-1].dropped["cheap"]


def test_what_cannot_be_told_apart_goes_to_the_cheaper():
    winner, rungs = run([Fake("dear", 51, 0.5), Fake("cheap", 50, 0.9)])
    assert winner.label == "cheap"
    assert "no proven lead" in rungs[-1].dropped["dear"]


def test_order_of_preference_breaks_exact_ties():
    assert run([Fake("first"), Fake("second")])[0].label == "first"


def test_halving_drops_the_worse_half_and_survivors_train_on():
    racers = [Fake(name, rights, 0.5) for name, rights in zip("abcd", (20, 40, 60, 90), strict=True)]
    winner, rungs = run(racers)
    assert winner.label == "d"
    assert sorted(rungs[0].dropped) == ["a", "b"]
    assert list(rungs[1].dropped) == ["c"]
    assert racers[3].steps == racers[2].steps > racers[0].steps


def test_a_diverging_entrant_is_out_and_the_race_goes_on():
    winner, rungs = run([Fake("bad", 99, 1.0, diverges_at=1), Fake("good", 10)])
    assert winner.label == "good"
    assert rungs[0].dropped["bad"].startswith("diverged")


def test_if_all_diverge_the_error_names_each():
    with pytest.raises(DivergedError, match=r"a: diverged.*b: diverged"):
        run([Fake("a", diverges_at=1), Fake("b", diverges_at=1)])


def test_a_spent_budget_ends_the_race_with_the_present_leader():
    racers = [Fake(name, 50, p) for name, p in (("a", 0.9), ("b", 0.5), ("c", 0.4), ("d", 0.1))]
    winner, rungs = run(racers, budget=Budget(steps=4), expected=1000)
    assert len(rungs) == 1
    assert winner.label == "a"


def test_a_race_taken_up_again_repeats_no_rung():
    make = lambda: [Fake(n, r) for n, r in zip("abcd", (20, 40, 60, 90), strict=True)]  # noqa: E731
    winner, rungs = run(make())
    again = make()
    resumed, all_rungs = race(again, expected=400, settings=RaceSettings(), budget=Budget(), done=rungs[:1])
    assert resumed.label == winner.label
    assert [r.to_dict() for r in all_rungs] == [r.to_dict() for r in rungs]
    assert again[0].steps == 0


def test_preparation_counts():
    assert total([Fake("a", extra=Spent(steps=7), steps=3)]).steps == 10


def test_leads_needs_more_than_noise():
    ours = torch.tensor([1.0, 0.0] * 50)
    assert not leads(ours, ours)
    assert not leads(ours, 1 - ours)
    assert leads(torch.ones(100), ours)
    assert not leads(torch.ones(1), torch.zeros(1))


def test_the_steps_of_the_rungs_by_hand():
    """Of 4 at 400 steps and a quarter: 2 lose after u, 1 after 2 u, so 4 u = 100."""
    assert rung_steps(4, 400, RaceSettings()) == [(25, 2), (50, 1)]
    assert rung_steps(3, 400, RaceSettings()) == [(33, 2), (66, 1)]
    assert rung_steps(5, 4000, RaceSettings(rungs=3)) == [(125, 3), (250, 2), (500, 1)]
    assert rung_steps(2, 400, RaceSettings(rungs=3)) == [(100, 1)]
    assert rung_steps(1, 400, RaceSettings()) == []
    assert rung_steps(4, 400, RaceSettings(share=0.0)) == [(1, 2), (1, 1)]


def test_a_rung_is_reported_with_its_scores():
    told = []
    racers = [Fake("a", 50, 0.9), Fake("b", 80, 0.5)]
    _, rungs = race(racers, expected=400, settings=RaceSettings(), budget=Budget(), report=told.append)
    assert told == rungs and rungs[0].to_dict() == {
        "number": 0,
        "steps": 100,
        "scores": {"a": 0.5, "b": pytest.approx(0.8)},
        "dropped": {"a": "held-out score 0.5, b is proven ahead at 0.8"},
    }
    assert Rung(1, 2, {}).dropped == {}


def test_without_held_out_examples_nearness_decides():
    class Blind(Fake):
        def held_out(self) -> Tensor:
            return torch.empty(0)

    winner, rungs = run([Blind("far", progress=0.1), Blind("near", progress=0.9)])
    assert winner.label == "near" and rungs[0].scores == {"far": None, "near": None}
    assert rungs[0].dropped["far"].startswith("held-out score nan is no proven lead over near (nan)")


def test_a_lead_is_above_1_645_standard_errors():
    theirs = torch.zeros(100)
    ours = torch.tensor([1.0] * 51 + [-1.0] * 49)
    difference = float(ours.mean()) / float(ours.double().std() / 10)
    for shift, proven in ((1.64, False), (1.65, True)):
        spread = float(ours.double().std() / 10)
        moved = ours + (shift - difference) * spread
        assert leads(moved, theirs) is proven
    assert not leads(torch.full((9,), 1e-13), torch.zeros(9)) and leads(torch.full((9,), 0.1), torch.zeros(9))


def test_two_examples_are_the_fewest_that_prove_a_lead():
    nothing = torch.zeros(2, dtype=torch.float64)
    assert leads(nothing + 1, nothing) and not leads(nothing[:1] + 1, nothing[:1])
    assert not leads(nothing + 1e-12, nothing) and leads(nothing + 2e-12, nothing)
