"""The training loop: bitwise resume, accumulation, stopping rules, isolation of random streams."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import DivergedError, StoreError
from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.tasks.base import Examples
from headstart.lifecycle.train import Run


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
        from headstart.nn.streams import generator

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
