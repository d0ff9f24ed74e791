"""The training loop: bitwise resume, accumulation, stopping rules, isolation of random streams."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import DivergedError, StoreError
from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle.budget import Spent
from headstart.lifecycle.engine import Engine
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.tasks.base import Examples
from headstart.lifecycle.train import Run, TrainState, _plain
from headstart.nn.streams import generator


class Labels:
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets).float()


def examples(n: int = 70, seed: int = 0) -> Examples:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=draw)
    return Examples(x, (x[:, 0] + 0.5 * x[:, 1] > 0).long())


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )


def make(settings: TrainSettings, seed: int = 1) -> Run:
    return Run(Labels(), model(), examples(), examples(20, 9), settings, seed=seed)


def digest(run: Run) -> str:
    tensors, document = run.state()
    h = hashlib.sha256()
    for name in sorted(tensors):
        h.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    document["at"] = {k: v for k, v in document["at"].items() if k != "seconds"}
    h.update(json.dumps(document, sort_keys=True).encode())
    return h.hexdigest()


SETTINGS = {
    "adamw": TrainSettings(optimizer="adamw", weight_decay=0.01, batch_size=16, epochs=4, stop_at=None),
    "sgd-cosine-clip": TrainSettings(
        optimizer="sgd", lr=0.05, batch_size=16, epochs=4, stop_at=None, schedule="cosine", warmup_steps=3,
        clip_grad_norm=1.0,
    ),
    "ema-accumulate": TrainSettings(batch_size=16, accumulate=2, epochs=4, stop_at=None, ema=0.9),
    "patience": TrainSettings(batch_size=16, epochs=4, stop_at=None, patience=4),
    "bfloat16": TrainSettings(batch_size=16, epochs=4, stop_at=None, autocast="bfloat16"),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stops", [(1,), (5,), (7, 8), (3, 13), (19,)])
def test_a_run_resumed_is_bitwise_the_run_never_stopped(name, stops, tmp_path):
    whole = make(SETTINGS[name])
    whole.advance()
    part = make(SETTINGS[name])
    for number, stop in enumerate(stops):
        part.advance(stop)
        assert part.at.step == stop
        write_checkpoint(tmp_path / str(number), *part.state())
        torch.rand(100)  # what others draw must not matter
        part = make(SETTINGS[name])
        part.restore(*read_checkpoint(tmp_path / str(number)))
    part.advance()
    assert digest(part) == digest(whole)


def test_a_resumed_run_depends_on_the_random_stream():
    """The proof above would prove nothing if dropout drew nothing."""
    one, other = make(SETTINGS["adamw"]), make(SETTINGS["adamw"])
    other._rng = torch.Generator().manual_seed(5).get_state()
    one.advance(2)
    other.advance(2)
    assert digest(one) != digest(other)


def test_training_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    make(SETTINGS["adamw"]).advance()
    assert torch.equal(before, torch.get_rng_state())


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    runs = [make(SETTINGS["adamw"], seed) for seed in (1, 1, 2)]
    for run in runs:
        run.advance()
    digests = [digest(run) for run in runs]
    assert digests[0] == digests[1] != digests[2]


def test_accumulation_computes_the_gradient_of_the_whole_batch():
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    weights = {k: v.clone() for k, v in plain.state_dict().items()}
    data = examples(56)
    data = Examples(data.inputs.double(), data.targets)
    results = []
    for pieces in (1, 8):
        plain.load_state_dict(weights)
        settings = TrainSettings(
            optimizer="sgd", lr=0.1, batch_size=8, accumulate=pieces, epochs=3, stop_at=None
        )
        run = Run(Labels(), plain, data, None, settings, seed=0)
        run.advance()
        results.append(torch.cat([p.detach().flatten().clone() for p in plain.parameters()]))
    assert torch.allclose(results[0], results[1], rtol=0, atol=1e-12)


def test_the_loop_takes_the_steps_of_a_plain_loop():
    """Against a loop written here by hand, with the same order: equal to the last bit."""
    settings = TrainSettings(batch_size=16, epochs=3, stop_at=None)
    ours = nn.Linear(6, 2)
    theirs = nn.Linear(6, 2)
    theirs.load_state_dict(ours.state_dict())
    data = examples()
    run = Run(Labels(), ours, data, None, settings, seed=4)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    for epoch in range(3):
        order = torch.randperm(70, generator=generator(4, "order", epoch))
        for begin in range(0, 70, 16):
            index = order[begin : begin + 16]
            optimizer.zero_grad()
            nn.functional.cross_entropy(theirs(data.inputs[index]), data.targets[index]).backward()
            optimizer.step()
    run.advance()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_it_stops_at_the_training_score():
    run = Run(Labels(), model(), examples(), None, TrainSettings(lr=0.01, stop_at=0.9, epochs=300), seed=0)
    at = run.advance()
    assert at.finished == "reached the training score"
    assert at.train_score >= 0.9
    assert at.epoch < 300


def test_it_stops_when_development_stops_improving_and_ships_the_best():
    settings = TrainSettings(lr=0.05, batch_size=16, epochs=200, stop_at=None, patience=3)
    run = make(settings)
    run.advance()
    assert run.at.finished == "the development score stopped improving"
    best = max(score for _, score in run.curve)
    assert run.dev_score() == pytest.approx(best)


def test_the_shipped_average_is_the_exponential_average_of_the_weights():
    settings = TrainSettings(batch_size=16, epochs=2, stop_at=None, ema=0.8)
    run = Run(Labels(), nn.Linear(6, 2).double(), Examples(examples().inputs.double(), examples().targets),
              None, settings, seed=0)  # fmt: skip
    expected = run.model.weight.detach().clone()
    for step in range(1, run.total_steps + 1):
        run.advance(step)
        expected = 0.8 * expected + 0.2 * run.model.weight.detach()
    assert torch.allclose(run.final_model().weight, expected, atol=1e-12)


def test_a_loss_that_is_not_finite_is_an_error_that_says_so():
    data = examples()
    data.inputs[3, 2] = float("nan")
    run = Run(Labels(), nn.Linear(6, 2), data, None, TrainSettings(batch_size=16), seed=0)
    with pytest.raises(DivergedError, match="not finite"):
        run.advance()


def test_a_checkpoint_of_other_data_is_refused():
    state = make(SETTINGS["adamw"]).state()
    other = Run(Labels(), model(), examples(50), None, SETTINGS["adamw"], seed=1)
    with pytest.raises(StoreError, match="another run"):
        other.restore(*state)


def test_stopping_happens_within_one_step():
    run = make(SETTINGS["adamw"])
    asked = iter([False, False, True])
    run.advance(stop=lambda: next(asked))
    assert run.at.step == 3


# ---- what a run knows of itself ------------------------------------------------------------------

STILL = TrainSettings(optimizer="sgd", momentum=0.0, lr=1e-30, batch_size=16, epochs=2, stop_at=None)


def still(settings=STILL, data=None, dev=None, task=None, **options):
    """A run whose weights do not move, so that every score is known beforehand."""
    plain = nn.Linear(6, 2)
    with torch.no_grad():
        plain.weight.copy_(torch.arange(12.0).view(2, 6) / 10 - 0.55)
        plain.bias.fill_(0.25)
    data = examples() if data is None else data
    return Run(task or Labels(), plain, data, dev, settings, seed=4, **options)


def test_a_run_that_has_not_begun():
    run = make(SETTINGS["adamw"])
    assert run.at == TrainState(
        step=0, epoch=0, index=0, samples=0, seconds=0.0, finished="", best=float("-inf"), best_epoch=0,
        train_score=0.0, train_loss=0.0,
    )  # fmt: skip
    assert (run.steps_per_epoch, run.total_steps) == (5, 20)
    assert run.spent == Spent() and run.curve == run.train_curve == [] and run.recent_score() == 0.0
    assert run.average is None and run.best_weights is None and run.final_model() is run.model
    assert run.state()[0]["sums"].dtype == torch.float64
    assert make(SETTINGS["ema-accumulate"]).average is not None


def test_scores_and_losses_are_means_over_the_examples_seen():
    run = still()
    scores = run.task.scores(run.model(run.train.inputs), run.train.targets)
    loss = run.task.loss(run.model(run.train.inputs), run.train.targets)
    order = torch.randperm(70, generator=generator(4, "order", 0))
    assert run.advance(2) is run.at
    assert run.recent_score() == pytest.approx(float(scores[order[:32]].mean()))
    assert run.advance(5) is run.at and (run.at.epoch, run.at.index) == (1, 0)
    assert run.recent_score() == run.at.train_score == pytest.approx(float(scores.mean()))
    assert run.at.train_loss == pytest.approx(float(loss.detach()))
    run.advance(6)
    first = torch.randperm(70, generator=generator(4, "order", 1))[:16]
    assert run.recent_score() == pytest.approx(float(scores[first].mean()))
    assert run.advance() is run.at and run.at.finished == "trained all epochs"
    assert (run.at.step, run.at.epoch, run.at.samples) == (10, 2, 140)
    assert run.spent == Spent(steps=10, samples=140, seconds=run.at.seconds) and 0 < run.at.seconds < 60
    assert run.train_curve == [(n, pytest.approx(run.at.train_loss), 1e-30) for n in (5, 10)]
    assert run.advance() is run.at and run.at.step == 10


def test_the_development_curve_has_a_point_at_1_2_4_8_and_every_16_epochs():
    run = still(replace(STILL, epochs=50, batch_size=70), dev=examples(20, 9))
    run.advance()
    assert [step for step, _ in run.curve] == [1, 2, 4, 8, 16, 32, 48]
    assert {value for _, value in run.curve} == {run.dev_score()}
    dev = examples(20, 9)
    assert run.dev_score() == pytest.approx(float(run.task.scores(run.model(dev.inputs), dev.targets).mean()))


def test_one_development_example_is_enough_for_a_score():
    assert still(dev=examples(1, 9)).dev_score() in (0.0, 1.0)


def test_a_model_handed_in_for_evaluation_is_trained_as_one_in_training():
    run = make(SETTINGS["adamw"])
    run.model.eval()
    run.advance(1)
    assert run.model.training and run.model[1].num_batches_tracked == 1


@pytest.mark.parametrize("dev", [None, examples(0)])
def test_without_development_examples_the_score_is_unknown(dev):
    run = still(dev=dev)
    run.advance()
    assert math.isnan(run.dev_score()) and [step for step, _ in run.curve] == [5, 10]
    tensors, document = run.state()
    stored = json.loads(json.dumps(document, allow_nan=False))
    assert stored["curve"] == [[5, None], [10, None]] and stored["at"]["best"] is None
    again = still(dev=dev)
    again.restore(tensors, stored)
    assert all(math.isnan(value) for _, value in again.curve) and again.train_curve == run.train_curve
    assert again.at == run.at


def test_it_stops_at_exactly_the_score_asked_for():
    data = examples()
    right = Examples(data.inputs, still().model(data.inputs).argmax(1))
    run = still(replace(STILL, stop_at=1.0, epochs=9), right)
    assert run.advance().finished == "reached the training score" and run.at.epoch == 1
    run = still(replace(STILL, stop_at=1.0, epochs=1), right)
    assert run.advance().finished == "reached the training score"


def test_patience_counts_epochs_since_the_best():
    settings = replace(STILL, patience=3, epochs=9)
    run = still(settings, dev=examples(20, 9))
    run.advance(5)
    assert run.best_weights is not None and run.final_model() is run.model  # nothing ships before the end
    assert run.at.best == run.dev_score() and run.at.best_epoch == 1
    again = still(settings, dev=examples(20, 9))
    again.restore(run.state()[0], json.loads(json.dumps(run.state()[1], allow_nan=False)))
    assert again.at == run.at and again.curve == run.curve == [(5, run.at.best)]
    run.advance()
    assert run.at.finished == "the development score stopped improving"
    assert (run.at.epoch, run.at.best_epoch) == (4, 1) and [step for step, _ in run.curve] == [5, 10, 15, 20]
    run.model.weight.data.zero_()
    shipped = run.final_model()
    assert shipped is not run.model and torch.equal(shipped.weight, still().model.weight)
    last = still(replace(settings, epochs=4), dev=examples(20, 9))
    assert last.advance().finished == "the development score stopped improving"


def test_a_stop_at_the_end_of_an_epoch_comes_after_it():
    run = still()
    assert run.advance(stop=lambda: run.at.step == 5) is run.at
    assert (run.at.step, run.at.epoch, run.at.index) == (5, 1, 0)
    assert run.advance(5) is run.at and run.at.step == 5


@pytest.mark.parametrize("wrong", ["loss", "scores"])
def test_a_loss_or_a_score_that_is_not_finite_ends_the_run(wrong):
    class Wrong(Labels):
        def loss(self, outputs, targets):
            return super().loss(outputs, targets) * (math.nan if wrong == "loss" else 1)

        def scores(self, outputs, targets):
            return super().scores(outputs, targets) * (math.inf if wrong == "scores" else 1)

    run = still(data=Examples(examples().inputs, still().model(examples().inputs).argmax(1)), task=Wrong())
    with pytest.raises(DivergedError, match="epoch 1, step 5"):
        run.advance()
    assert run.at.finished == "diverged" and run.train_curve == []
    again = still(task=Wrong())
    again.restore(*run.state())
    with pytest.raises(DivergedError):
        again.refuse_divergence()
    still().refuse_divergence()


def test_gradients_are_clipped_to_the_norm_asked_for():
    moved = []
    for norm in (0.01, None):
        run = still(replace(STILL, lr=1.0, clip_grad_norm=norm))
        before = torch.cat([p.detach().flatten() for p in run.model.parameters()])
        run.advance(1)
        moved.append(
            float((torch.cat([p.detach().flatten() for p in run.model.parameters()]) - before).norm())
        )
    assert moved[0] == pytest.approx(0.01, rel=1e-3) and moved[1] > 0.05


def test_a_schedule_of_ones_own_takes_every_step_and_a_constant_rate_none():
    given = {}

    def halving(optimizer, *, total_steps):
        given["total"] = total_steps
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)

    run = still(schedule=halving)
    run.advance()
    assert given == {"total": 10} and [lr for _, _, lr in run.train_curve] == [1e-30 / 2**5, 1e-30 / 2**10]
    constant = still()
    constant.advance()
    assert constant.schedule.last_epoch == 0
    for changed in ({"warmup_steps": 1}, {"schedule": "linear"}):
        moving = still(replace(STILL, **changed))
        moving.advance(4)
        assert moving.schedule.last_epoch == 4


def test_a_process_without_an_example_adds_nothing():
    class Idle(Engine):
        def share(self, indices):
            return indices[:1], 0.0

    run = still(replace(STILL, lr=1.0), engine=Idle(torch.device("cpu")))
    before = run.model.weight.detach().clone()
    run.advance(2)
    assert torch.equal(run.model.weight, before) and run.recent_score() == 0.0


def test_the_average_keeps_the_latest_buffers():
    run = make(SETTINGS["ema-accumulate"])
    run.advance(3)
    assert torch.equal(run.average[1].running_mean, run.model[1].running_mean)
    assert run.average[1].num_batches_tracked == run.model[1].num_batches_tracked
    assert not any(p.requires_grad for p in run.average.parameters())


def test_the_whole_state_is_plain_and_complete():
    tensors, document = make(SETTINGS["patience"]).state()
    assert {name.partition("/")[0] for name in tensors} == {"rng", "sums", "model"}
    assert set(document) == {"at", "optimizer", "schedule", "curve", "train_curve", "shape"}
    assert document["shape"] == [70, 20] and document["schedule"]["lr_lambdas"] == [None]
    json.dumps(document, allow_nan=False)
    run = make(replace(SETTINGS["patience"], ema=0.9))
    run.advance(6)
    parts = {name.partition("/")[0] for name in run.state()[0]}
    assert parts == {"rng", "sums", "model", "optimizer", "average", "best"}


def test_what_a_schedule_keeps_of_functions_is_left_out():
    assert _plain({"f": len, "n": 1, "lr_lambdas": [len, None]}) == {"n": 1, "lr_lambdas": [None, None]}
    assert _plain({"n": 1}) == {"n": 1}
