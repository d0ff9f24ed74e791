"""Budgets and settings refuse what makes no sense, and say what would."""

from __future__ import annotations

import pytest

from headstart.errors import InputError
from headstart.lifecycle.budget import Budget, Spent
from headstart.lifecycle.settings import GateSettings, RaceSettings, Settings, TrainSettings


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (TrainSettings, {"optimizer": "lbfgs"}),
        (TrainSettings, {"lr": 0}),
        (TrainSettings, {"lr": float("nan")}),
        (TrainSettings, {"lr": "0.1"}),
        (TrainSettings, {"batch_size": 0}),
        (TrainSettings, {"batch_size": 1.5}),
        (TrainSettings, {"batch_size": True}),
        (TrainSettings, {"momentum": 1.0}),
        (TrainSettings, {"ema": 1.0}),
        (TrainSettings, {"schedule": "sawtooth"}),
        (TrainSettings, {"autocast": "int8"}),
        (TrainSettings, {"clip_grad_norm": 0}),
        (RaceSettings, {"share": 1.1}),
        (RaceSettings, {"entrants": 0}),
        (GateSettings, {"alpha": 0.0}),
        (GateSettings, {"alpha": 0.6}),
        (GateSettings, {"require": "luck"}),
        (Settings, {"retention": "replay"}),
        (Settings, {"retention": "replay:0"}),
        (Settings, {"fractions": (0.8, 0.1, 0.2)}),
        (Settings, {"fractions": (1.2, -0.1, -0.1)}),
        (Budget, {"steps": 0}),
        (Budget, {"steps": 1.5}),
        (Budget, {"seconds": float("inf")}),
        (Budget, {"samples": "many"}),
    ],
)
def test_wrong_values_are_refused_with_the_place_and_a_way_out(kind, wrong):
    with pytest.raises(InputError) as caught:
        kind(**wrong)
    error = caught.value
    assert all([error.what, error.where, error.got, error.fix])
    assert next(iter(wrong)) in error.where


def test_a_budget_binds_by_its_tightest_limit():
    budget = Budget(steps=100, samples=1000)
    assert budget.left(Spent()) == 1
    assert budget.left(Spent(steps=50, samples=900)) == pytest.approx(0.1)
    assert budget.steps_left(Spent(steps=50, samples=900), batch_size=10) == 10
    assert not budget.allows(Spent(steps=100))
    assert Budget().allows(Spent(steps=10**9))
    assert Budget().steps_left(Spent(), 10) is None


def test_settings_are_plain_json():
    import json

    assert json.loads(json.dumps(Settings().to_dict()))["train"]["lr"] == 1e-3
