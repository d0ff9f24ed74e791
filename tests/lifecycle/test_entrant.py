"""An entrant of a race: checkpoints on the way, stops, divergence, and its row in the table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import DivergedError, InterruptedRunError
from headstart.lifecycle import failpoints
from headstart.lifecycle.artifact import read_checkpoint
from headstart.lifecycle.budget import Spent
from headstart.lifecycle.engine import Engine
from headstart.lifecycle.entrant import Arena, Entrant, batches_of, thinned
from headstart.lifecycle.plan import StartPlan, StartSpec, make_start, plan_for
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.signals import StopFlag
from headstart.lifecycle.tasks.base import Examples
from headstart.protocols import Parent

SETTINGS = TrainSettings(
    batch_size=8, epochs=3, stop_at=None, checkpoint_every=3, lr=0.01
)  # 5 steps an epoch


class Labels:
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets).float()


def examples(n: int, seed: int) -> Examples:
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return Examples(x, (x[:, 0] > 0).long())


def fresh() -> nn.Module:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.fill_(0.1)
        model.bias.zero_()
    return model


def arena(folder: Path, **changed: Any) -> Arena:
    seen: list[int | None] = []
    values: dict[str, Any] = {
        "task": Labels(),
        "train": examples(36, 0),
        "dev": examples(10, 1),
        "settings": SETTINGS,
        "seed": 3,
        "engine": Engine(torch.device("cpu")),
        "fresh": fresh,
        "parent": lambda: None,
        "folder": folder,
        "stop": StopFlag(),
        "changed": lambda entrant: seen.append(entrant.run.at.step),
    }
    made = Arena(**{**values, **changed})
    object.__setattr__(made, "seen", seen)
    return made


def plan(label: str = "scratch", parent: str | None = None) -> StartPlan:
    spec = StartSpec.parse(label)
    return plan_for(spec, make_start(spec), SETTINGS, parent=parent, data={"new": 36})


def steps_saved(entrant: Entrant) -> int | None:
    found = read_checkpoint(entrant.arena.folder / "entrants" / "scratch")
    return found[1]["at"]["step"] if found else None


def test_checkpoints_are_written_every_so_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_FAILPOINT", "none")
    before = failpoints.passes["entrant-checkpoint"]
    entrant = Entrant(plan(), arena(tmp_path))
    assert entrant.spent == Spent() and not (tmp_path / "entrants").exists()
    entrant.advance(2)
    assert steps_saved(entrant) is None  # between two marks
    entrant.advance(4)
    assert steps_saved(entrant) == 3
    assert entrant.arena.seen == [2, 3, 4]  # type: ignore[attr-defined]
    entrant.advance(4)
    assert entrant.run.at.step == 4 and not entrant.finished
    entrant.advance(None)
    assert entrant.finished and entrant.run.at.step == 15 and steps_saved(entrant) == 15
    assert entrant.arena.seen == [2, 3, 4, 6, 9, 12, 15]  # type: ignore[attr-defined]
    assert (entrant.spent.steps, entrant.spent.samples) == (15, 108)
    assert failpoints.passes["entrant-checkpoint"] == before + 5


def test_an_entrant_goes_on_from_its_checkpoint_and_ends_the_same(tmp_path: Path) -> None:
    whole = Entrant(plan(), arena(tmp_path / "whole"))
    whole.advance(None)
    Entrant(plan(), arena(tmp_path / "part")).advance(7)
    again = Entrant(plan(), arena(tmp_path / "part"))
    assert again.spent == Spent()
    again.take_up()
    assert again.spent.steps == 6
    again.advance(None)
    assert torch.equal(again.run.model.weight, whole.run.model.weight)
    assert again.progress == whole.progress == whole.run.at.train_score
    new = Entrant(plan(), arena(tmp_path / "new"))
    new.take_up()
    assert new._run is None and new.spent == Spent() and not (tmp_path / "new").exists()


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    entrant = Entrant(plan(), arena(tmp_path, engine=Engine(torch.device("cpu"), rank=1)))
    entrant.advance(3)
    entrant.held_out()
    assert not list(tmp_path.iterdir())


def test_a_stop_saves_the_state_and_says_which_signal_asked(tmp_path: Path) -> None:
    stop = StopFlag()

    def ask(entrant: Entrant) -> None:
        stop.signal = 2 if entrant.run.at.step == 6 else 0

    entrant = Entrant(plan(), arena(tmp_path, stop=stop, changed=ask))
    with pytest.raises(InterruptedRunError, match="signal 2") as caught:
        entrant.advance(None)
    assert caught.value.exit_code == 130 and entrant.run.at.step == 6 and steps_saved(entrant) == 6

    class Agreed(Engine):
        def agreed(self, flag: bool) -> bool:
            return True  # another process was asked

    other = Entrant(plan(), arena(tmp_path / "other", engine=Agreed(torch.device("cpu"))))
    with pytest.raises(InterruptedRunError, match="signal 15"):
        other.advance(None)
    assert other.run.at.step == 1 and steps_saved(other) == 1


def test_divergence_is_saved_so_that_it_is_known_after_a_restart(tmp_path: Path) -> None:
    wrong = examples(36, 0)
    wrong.inputs[0, 0] = math.nan
    entrant = Entrant(plan(), arena(tmp_path, train=wrong))
    with pytest.raises(DivergedError):
        entrant.advance(None)
    again = Entrant(plan(), arena(tmp_path, train=wrong))
    again.take_up()
    assert again.finished and again.run.at.finished == "diverged" and again.run.at.step == 5
    with pytest.raises(DivergedError):
        again.advance(None)


def test_scores_on_held_out_examples_are_noted_and_saved(tmp_path: Path) -> None:
    entrant = Entrant(plan(), arena(tmp_path))
    entrant.advance(2)
    scores = entrant.held_out()
    assert len(scores) == 10 and entrant.held == float(scores.mean())
    assert entrant.run.curve == [(2, entrant.held)] and steps_saved(entrant) == 2
    none = Entrant(plan(), arena(tmp_path / "none", dev=examples(0, 1)))
    assert len(none.held_out()) == 0 and math.isnan(none.held)
    assert none.to_dict()["score"] is None and none.to_dict()["curve"] == [[0, None]]


def test_the_row_of_an_entrant(tmp_path: Path) -> None:
    known = Parent(fresh())
    start = dataclasses.replace(plan("shrink-perturb:shrink=0.5"), parent="v")
    entrant = Entrant(start, arena(tmp_path, parent=lambda: known))
    row = entrant.to_dict()
    assert row["label"] == "shrink-perturb(shrink=0.5)" and row["start"] == "shrink-perturb"
    assert row["settings"] == {"shrink": 0.5} and row["plan"] == entrant.plan.to_dict()
    assert (row["status"], row["rung"], row["steps"], row["samples"]) == ("racing", None, 0, 0)
    assert (row["score"], row["curve"], row["train_curve"], row["ended"]) == (None, [], [], "")
    entrant.extra = Spent(steps=2, samples=9)
    entrant.advance(5)
    entrant.held_out()
    entrant.run.curve.append(entrant.run.curve[-1])
    row = entrant.to_dict()
    assert (row["steps"], row["samples"], row["ended"]) == (5, 36, "")  # this start prepares nothing
    assert row["curve"] == [[5, entrant.held]] and row["score"] == entrant.held
    assert [point[0] for point in row["train_curve"]] == [5]
    assert [path.name for path in (tmp_path / "entrants").iterdir()] == ["shrink-perturb_shrink_0.5_"]
    entrant.advance(None)
    assert entrant.to_dict()["ended"] == "trained all epochs"


def test_what_a_start_reads_counts_as_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    @dataclasses.dataclass
    class Reads:
        data_passes = 0.5

        def __call__(self, model: nn.Module, parent: Any, *, generator: torch.Generator) -> nn.Module:
            seen.append((parent, torch.rand(1, generator=generator).item()))
            return model

    monkeypatch.setattr("headstart.lifecycle.entrant.make_start", lambda spec: Reads())
    parent = object()
    entrant = Entrant(dataclasses.replace(plan("warm"), parent="v"), arena(tmp_path, parent=lambda: parent))
    entrant.advance(3)
    assert entrant.extra == Spent(steps=3, samples=18)  # 18 of 36 examples, 8 at a time
    assert (entrant.to_dict()["steps"], entrant.to_dict()["samples"]) == (6, 42)
    without = Entrant(plan(), arena(tmp_path / "without", parent=lambda: parent))
    without.advance(1)
    assert seen[0][0] is parent and seen[1][0] is None
    assert seen[0][1] != seen[1][1]  # each start has a stream of its own
    again = Entrant(entrant.plan, entrant.arena)
    again.take_up()
    assert len(seen) == 2 and again.extra == entrant.extra  # taken up, not begun again


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    assert thinned(list(range(200))) == list(range(200))
    assert thinned(list(range(5)), limit=5) == [0, 1, 2, 3, 4]
    assert thinned(list(range(6)), limit=5) == [0, 2, 4, 5]
    assert thinned(list(range(9)), limit=5) == [0, 2, 4, 6, 8]
    assert thinned(list(range(10)), limit=5) == [0, 3, 6, 9]
    long = thinned(list(range(996)))
    assert long == [*range(0, 995, 5), 995] and len(long) == 200
    assert len(thinned(list(range(997)))) == 167


def test_parts_without_examples_are_no_batches() -> None:
    part, empty = examples(4, 0), examples(0, 0)
    found = batches_of([part, empty])
    assert len(found) == 1 and found[0][0] is part.inputs and found[0][1] is part.targets
