"""Diagnosis with tasks and models of every shape: what it reads, and what it must leave alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.errors import UserCodeError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.diagnose import diagnose, health, shifted
from headstart.lifecycle.tasks import TabularClassification, TabularRegression
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.nn.streams import generator
from headstart.protocols import Finding


def rows_of(n: int, seed: int, *, moved: float = 0.0, ones: float = 0.5) -> Rows:
    """Two numbers, a category and a class; encoded as four inputs."""
    random = np.random.default_rng(seed)
    return Rows(
        {
            "height": random.normal(size=n),
            "weight": random.normal(moved, 1, size=n),
            "city": np.array(["x", "y"], dtype=object)[random.integers(0, 2, n)],
            "label": (random.random(n) < ones).astype(np.int64),
        }
    )


def found(
    old: Rows | None, new: Rows, task: Task | None = None, model: nn.Module | None = None
) -> dict[str, Finding]:
    task = task or TabularClassification("label")
    schema = task.infer(old or new)
    findings = diagnose(
        task,
        model=model,
        old=task.encode(old, schema) if old is not None else None,
        new=task.encode(new, schema),
        old_rows=old,
        new_rows=new,
        schema=schema,
        seed=3,
    )
    return {finding.name: finding for finding in findings}


def test_a_moved_column_is_named_and_no_other() -> None:
    findings = found(rows_of(500, 1), rows_of(400, 2, moved=1.0))
    assert shifted(list(findings.values()))
    assert [name for name, _, _ in findings["column-shift"].details["columns"]] == ["weight"]
    assert "weight" in findings["column-shift"].text
    assert (findings["covariate-shift"].severity, findings["label-shift"].severity) == ("warning", "info")


def test_moved_labels_leave_the_inputs_quiet() -> None:
    findings = found(rows_of(500, 1), rows_of(400, 2, ones=0.75))
    assert shifted(list(findings.values()))
    assert (findings["covariate-shift"].severity, findings["label-shift"].severity) == ("info", "warning")
    task = TabularRegression("weight", columns=["height"])
    moved = found(rows_of(400, 1), rows_of(400, 2, moved=0.5), task)
    assert moved["label-shift"].severity == "warning"


def test_a_first_arrival_has_nothing_to_be_compared_with() -> None:
    assert set(found(None, rows_of(50, 1))) == {"novelty"}


class Odd(nn.Module):
    """Draws at random even in evaluation mode, and keeps one part in a mode of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(4), nn.Linear(4, 2)
        self.train()
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(nn.functional.dropout(self.norm(x), 0.5, training=True))
        return out


def test_every_part_keeps_its_mode_and_the_global_state_its_place() -> None:
    model = Odd()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    with torch.no_grad():  # gradients are taken whatever the caller's mode
        once = found(rows_of(80, 1), rows_of(60, 2), model=model)
    assert once["gradient-ratio"].value > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.training, model.last.training, model.norm.training) == (True, True, False)
    assert not any(module._forward_hooks for module in model.modules())
    torch.rand(5)  # the global state is elsewhere now, and must not matter
    assert found(rows_of(80, 1), rows_of(60, 2), model=model) == once
    assert json.dumps([finding.to_dict() for finding in once.values()], allow_nan=False)


class Joined(nn.Module):
    """Inputs that are several, outputs that are no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"logits": self.last(torch.cat([left, right], 1))}


def test_several_inputs_and_outputs_that_are_no_tensor_will_do() -> None:
    def encode(rows: Rows, schema: Schema) -> Examples:
        x = torch.from_numpy(np.stack([rows.column("height"), rows.column("weight")], 1)).float()
        return Examples((x, x.flip(1)), torch.from_numpy(rows.column("label")))

    task = Task(
        model=Joined,
        encode_rows=encode,
        infer_schema=lambda rows: Schema({}, {"kind": "class", "classes": [0, 1]}),
        loss_fn=lambda outputs, targets: nn.functional.cross_entropy(outputs["logits"], targets),
        score_fn=lambda outputs, targets: (outputs["logits"].argmax(1) == targets).float(),
    )
    findings = found(rows_of(40, 1), rows_of(30, 2), task, Joined())
    assert {"champion-score", "champion-loss", "gradient-ratio", "weight-norm"} <= set(findings)
    assert "dormant-units" not in findings


class Constant(nn.Module):
    """A model without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2]


def test_a_model_without_parameters_has_no_gradient_ratio() -> None:
    findings = found(rows_of(40, 1), rows_of(30, 2), model=Constant())
    assert "champion-loss" in findings
    assert "gradient-ratio" not in findings
    assert findings["weight-norm"].value == 0


def test_units_of_images_are_their_channels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 2))
    images = torch.rand(4, 3, 8, 8, generator=generator(0, "images"))
    units, features = health.activations(model, Examples(images, torch.zeros(4)))
    assert [len(layer) for layer in units] == [5]
    assert features is not None and features.shape == (4, 5 * 36)


def test_a_fault_in_the_score_is_named_and_every_mode_restored() -> None:
    def score(outputs: Tensor, targets: Tensor) -> Tensor:
        raise KeyError("boom")

    model = Odd()
    with pytest.raises(UserCodeError, match="boom") as caught:
        found(rows_of(40, 1), rows_of(30, 2), Task(model=Odd, target="label", score_fn=score), model)
    assert isinstance(caught.value.__cause__, KeyError)
    assert (model.training, model.norm.training) == (True, False)
