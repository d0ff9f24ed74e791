"""The whole chain on real data: decisions, lineage, costs, retention, new classes, bad input."""

from __future__ import annotations

import json
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.errors import InputError, InterruptedRunError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.record import story

from .stream import BUDGET, TRAIN, arrivals, lineage, task, update


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store that took three arrivals, and the results."""
    store = hs.Store(tmp_path_factory.mktemp("store") / "s")
    return store, [update(store, data) for data in arrivals()]


def test_every_arrival_gives_a_version_with_its_parent(finished):
    store, results = finished
    versions = store.versions()
    assert [v.id for v in versions] == [r.version.id for r in results]
    assert versions[0].parents == ()
    for result, version in zip(results[1:], versions[1:], strict=True):
        plan = version.document("plan")
        assert version.parents == ((plan["parent"],) if plan["parent"] else ())
        assert result.record["winner"]
    assert store.verify() == []


def test_the_first_version_is_promoted_when_it_beats_the_majority(finished):
    _, results = finished
    assert results[0].decision == "promote"
    assert results[0].record["candidate_score"] > results[0].record["baseline_score"]


def test_a_version_loads_and_predicts(finished):
    store, results = finished
    model = store.champion().load(task())
    assert isinstance(model, nn.Module)
    assert not model.training
    examples = task().encode(arrivals()[0], task().infer(arrivals()[0]))
    assert model(examples.inputs).shape == (120, 10)
    assert results[-1].to_dict()["decision"] in ("promote", "hold", "reject")
    json.dumps(results[-1].to_dict(), allow_nan=False)


def test_the_verdict_comes_back_as_it_was(finished):
    _, results = finished
    for result in results:
        assert result.verdict.decision == result.decision
        assert result.verdict.to_dict() == result.record["verdict"]


def test_every_step_of_every_entrant_is_counted(finished):
    _, results = finished
    for result in results:
        record = result.record
        assert record["steps_spent"] == sum(e["steps"] for e in record["entrants"])
        won = [e for e in record["entrants"] if e["label"] == record["winner"]]
        assert record["steps_race"] == record["steps_spent"] - won[0]["steps"]
        assert record["steps_spent"] <= BUDGET.steps
    assert len(results[1].record["entrants"]) == 4
    assert results[1].record["findings"]


def test_the_plan_stands_whole_in_version_race_and_record(finished):
    store, results = finished
    plan = store.version(results[1].version.id).document("plan")
    entrant = next(e for e in results[1].record["entrants"] if e["label"] == results[1].record["winner"])
    assert plan == json.loads(json.dumps(entrant["plan"]))
    assert {"start", "parent", "buffers", "optimizer_state", "schedule", "data", "batch_size"} <= set(plan)


def test_the_same_call_again_returns_the_same_result(finished):
    store, results = finished
    before = lineage(store)
    again = update(store, arrivals()[2])
    assert again.version.id == results[2].version.id
    assert lineage(store) == before


def test_the_same_stream_in_another_store_gives_the_same_lineage(finished, tmp_path):
    other = hs.Store(tmp_path / "other")
    for data in arrivals():
        update(other, data)
    assert lineage(other) == lineage(finished[0])


def test_a_row_never_changes_sides(finished):
    store, _ = finished
    sides: dict[str, int] = {}
    for arrival in store.arrivals():
        digests = arrival.rows().row_digests([f"pixel_{i}" for i in range(64)])
        for digest, side in zip(digests, arrival.sides(), strict=True):
            assert sides.setdefault(digest, int(side)) == int(side)


def test_the_story_is_plain_json_and_adds_up(finished):
    store, results = finished
    told = json.loads(json.dumps(story(store), allow_nan=False))
    assert told["totals"]["steps_spent"] == sum(r.record["steps_spent"] for r in results)
    assert [n["id"] for n in told["lineage"]["nodes"]] == [v.id for v in store.versions()]


def test_rollback_and_then_the_next_update_starts_from_the_champion(tmp_path):
    store = hs.Store(tmp_path / "s")
    parts = arrivals()
    gate = hs.GateSettings(require="non-inferiority", margin=0.5)
    first = update(store, parts[0], gate=gate)
    second = update(store, parts[1], gate=gate)
    assert second.decision == "promote"
    assert store.rollback(reason="trial").id == first.version.id
    third = update(store, parts[2], gate=gate)
    assert third.record["parent"] == first.version.id


@pytest.mark.parametrize(("retention", "kept"), [("none", 0), ("replay:30", 30)])
def test_retention_forgets_training_rows_and_keeps_the_evidence(tmp_path, retention, kept):
    store = hs.Store(tmp_path / "s")
    parts = arrivals()
    results = [update(store, data, retention=retention) for data in parts]
    assert [a.kept for a in store.arrivals()] == [False, False, False]
    held = [r.record["gate_items"] for r in results]
    assert held[0] < held[1] < held[2]
    new = results[2].record["counts"]["train"]
    assert results[2].record["train_rows"] == new + kept
    assert store.verify() == []


def test_a_reference_is_read_again_and_its_digest_checked(tmp_path):
    import csv

    part = arrivals()[0]
    path = tmp_path / "part.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(part.columns)
        writer.writerows(zip(*(part.column(n).tolist() for n in part.columns), strict=True))
    store = hs.Store(tmp_path / "s")
    update(store, path, reference=True)
    assert len(store.arrivals()[0].rows()) == 120
    path.write_text(path.read_text().replace("label", "label", 1) + ",".join(["0"] * 65) + "\n")
    with pytest.raises(hs.HeadstartError, match="digest"):
        store.arrivals()[0].rows()


def test_a_new_class_is_refused_or_widens_the_model(tmp_path):
    store = hs.Store(tmp_path / "s")
    parts = arrivals()
    labels = parts[0].column("label")
    known = parts[0].take(np.flatnonzero(labels < 8))
    update(store, known)
    with pytest.raises(InputError, match="allow_new_classes"):
        update(store, parts[1])
    assert len(store.arrivals()) == 1
    wide = hs.tasks.TabularClassification(target="label", hidden=(16,), allow_new_classes=True)
    result = hs.update(wide, store, parts[1], train=TRAIN, budget=BUDGET, report=False)
    model = result.version.load(wide)
    assert list(model.parameters())[-1].shape == (10,)


def test_an_own_gate_set_judges_and_must_not_be_trained_on(tmp_path):
    store = hs.Store(tmp_path / "s")
    parts = arrivals(2)
    result = update(store, parts[0], gate_data=parts[1])
    assert result.record["gate_items"] == 120
    overlap = hs.read(parts[0].take(np.arange(5)))
    other = hs.Store(tmp_path / "t")
    with pytest.raises(InputError, match="gate set"):
        update(other, parts[0], gate_data=overlap)
    assert other.arrivals() == []


def test_without_gate_items_the_decision_is_hold(tmp_path):
    result = update(tmp_path / "s", arrivals(1)[0], fractions=(1.0, 0.0, 0.0), report=True)
    assert result.decision == "hold"
    assert result.verdict.overall.n == 0
    assert hs.Store(tmp_path / "s").champion() is None
    later = update(tmp_path / "s", arrivals(2)[1], fractions=(1.0, 0.0, 0.0), report=True)
    assert later.record["parent"] == result.version.id


def test_rows_that_two_groups_share_must_not_leak_into_the_gate(tmp_path):
    data = arrivals(1)[0]
    mine = hs.tasks.TabularClassification(target="label", hidden=(16,), group="writer")
    alone = Rows({**data.columns, "writer": np.arange(120)})
    assert hs.update(mine, tmp_path / "a", alone, train=TRAIN, budget=BUDGET, report=False).version
    twice = Rows({name: np.concatenate([values, values]) for name, values in data.columns.items()})
    leaky = Rows({**twice.columns, "writer": np.arange(240)})
    with pytest.raises(InputError, match="trained on in another"):
        hs.update(mine, tmp_path / "b", leaky, train=TRAIN, budget=BUDGET, report=False)
    assert hs.Store(tmp_path / "b").arrivals() == []


def test_an_own_gate_set_must_not_share_groups_even_when_written_otherwise(tmp_path):
    train, gate = arrivals(2)
    mine = hs.tasks.TabularClassification(target="label", hidden=(16,), group="writer")
    numbered = Rows({**train.columns, "writer": np.arange(120)})
    named = Rows({**gate.columns, "writer": [f"{i}" for i in range(100, 220)]})
    with pytest.raises(InputError, match="the same group"):
        hs.update(mine, tmp_path / "s", numbered, gate_data=named, train=TRAIN, report=False)


def test_a_budget_in_samples_and_in_seconds_binds(tmp_path):
    parts = arrivals(1)
    result = update(hs.Store(tmp_path / "a"), parts[0], budget=hs.Budget(samples=640))
    assert sum(e["samples"] for e in result.record["entrants"]) <= 640
    result = update(hs.Store(tmp_path / "b"), parts[0], budget=hs.Budget(seconds=1e-6))
    assert result.record["entrants"][0]["status"] == "out of budget"


def test_a_users_own_model_and_loss(tmp_path):
    class Net(nn.Module):
        def __init__(self, in_features: int, out_features: int) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(in_features, 12), nn.ReLU(), nn.Linear(12, out_features))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.body(inputs)

    mine = hs.tasks.TabularClassification(target="label", model=Net)
    result = hs.update(mine, tmp_path / "s", arrivals(1)[0], train=TRAIN, report=False)
    assert isinstance(result.version.load(mine), Net)


def test_regression_is_gated_by_scores(tmp_path):
    draw = np.random.default_rng(0)
    parts = []
    for _ in range(2):
        x = draw.normal(size=(200, 3))
        target = x @ np.array([1.0, -2.0, 0.5]) + 0.1 * draw.normal(size=200)
        parts.append(Rows({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": target}))
    mine = hs.tasks.TabularRegression(target="y", hidden=(16,))
    train = hs.TrainSettings(epochs=30, lr=0.01, stop_at=None)
    results = [hs.update(mine, tmp_path / "s", part, train=train, report=False) for part in parts]
    assert results[0].decision == "promote"
    assert results[1].record["verdict"]["overall"]["n"] == results[1].record["gate_items"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 0.5},
        {"budget": 100},
        {"starts": ("no-such-start",)},
        {"retention": "some"},
        {"fractions": (1, 2, 3)},
        {"reference": True},
    ],
)
def test_wrong_arguments_leave_no_trace(tmp_path, wrong):
    with pytest.raises(InputError) as caught:
        update(tmp_path / "s", arrivals(1)[0], **wrong)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "s").exists()


def test_wrong_data_leave_no_arrival(tmp_path):
    data = arrivals(1)[0]
    columns = dict(data.columns)
    columns["pixel_3"] = columns["pixel_3"].astype(float)
    columns["pixel_3"][7] = np.nan
    with pytest.raises(InputError, match=r"row"):
        update(tmp_path / "s", Rows(columns))
    assert hs.Store(tmp_path / "s").arrivals() == []


def test_a_signal_stops_after_the_step_and_the_next_call_goes_on(tmp_path):
    data = arrivals(1)[0]
    reference = update(hs.Store(tmp_path / "whole"), data)
    store = hs.Store(tmp_path / "s")
    seen = []

    def interrupt(event):
        if event["stage"] == "train" and "step" in event and not seen:
            seen.append(event["step"])
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError) as caught:
        update(store, data, progress=interrupt)
    assert caught.value.exit_code == 143
    assert store.versions() == []
    assert update(store, data).version.id == reference.version.id


def test_update_works_outside_the_main_thread(tmp_path):
    results = []
    worker = threading.Thread(target=lambda: results.append(update(tmp_path / "s", arrivals(1)[0])))
    worker.start()
    worker.join()
    assert results[0].decision == "promote"


def test_the_report_is_written_into_the_store(tmp_path):
    result = update(tmp_path / "s", arrivals(1)[0], report=True)
    assert result.report_path.name == "report.html"
    assert result.version.id in result.report_path.read_text(encoding="utf-8")


def test_race_ranks_without_committing(finished, tmp_path):
    store, _ = finished
    before = lineage(store)
    ranked = hs.race(task(), store, arrivals(4)[3], starts=("warm", "scratch"), train=TRAIN, budget=BUDGET)
    assert {entrant["start"] for entrant in ranked} == {"warm", "scratch"}
    scores = [entrant["score"] for entrant in ranked]
    assert scores == sorted(scores, reverse=True)
    assert lineage(store) == before


def test_an_update_stopped_while_it_forgets_is_finished_by_the_next_call(tmp_path, monkeypatch):
    """What a run that is taken up again needs is only forgotten once its result is recorded."""
    options = {"retention": "replay:30", "starts": ("scratch",), "train": TRAIN}
    first, second = arrivals(2)
    whole = update(tmp_path / "whole", first, **options), update(tmp_path / "whole", second, **options)
    store = hs.Store(tmp_path / "s")
    update(store, first, **options)

    real = hs.Store.forget

    def forget(self, index):
        real(self, index)
        raise KeyboardInterrupt

    monkeypatch.setattr(hs.Store, "forget", forget)
    with pytest.raises(KeyboardInterrupt):
        update(store, second, **options)
    monkeypatch.undo()
    again = update(store, second, **options)
    assert again.version.id == whole[1].version.id
    assert [a.kept for a in store.arrivals()] == [False, False] and store.verify() == []
    assert list((store.root / "runs").iterdir()) == []


def test_wrong_data_leave_no_empty_store_behind(tmp_path):
    with pytest.raises(InputError):
        update(tmp_path / "s", {"label": ["a", "b"]})
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_built_leaves_no_arrival(tmp_path):
    def broken(**_):
        raise ZeroDivisionError

    store = hs.Store(tmp_path / "s")
    with pytest.raises(InputError):
        hs.update(hs.tasks.TabularClassification(target="label", model=broken), store, arrivals(1)[0])
    assert store.arrivals() == [] and not list((store.root / "runs").iterdir())
