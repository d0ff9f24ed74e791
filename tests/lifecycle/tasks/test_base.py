"""Task, Examples, predict and score: a user's own task, and modes that stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.errors import InputError, UserCodeError
from headstart.lifecycle.data.rows import Rows

TASKS = hs.tasks
ROWS = Rows({"x": np.arange(6.0), "label": np.array([0, 1] * 3)})


def linear(in_features, out_features):
    return nn.Linear(in_features, out_features)


def own(**changes):
    def infer(rows):
        return TASKS.Schema(
            {"x": {"kind": "number", "shape": []}}, {"column": "label", "classes": [0, 1]}, {}
        )

    def encode(rows, schema):
        x = torch.tensor(rows.column("x"), dtype=torch.float32)
        return TASKS.Examples((x[:, None], x[:, None] ** 2), torch.tensor(rows.column("label")))

    return hs.Task(**{"model": linear, "infer_schema": infer, "encode_rows": encode, **changes})


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, x, square):
        return self.head(torch.cat([x, square], 1))


def test_a_task_of_model_and_target_is_tabular():
    task = hs.Task(model=linear)
    schema = task.infer(ROWS)
    examples = task.encode(ROWS, task.check(ROWS, schema))
    assert task.build(schema)(examples.inputs).shape == (6, 2)
    assert set(task.scores(torch.eye(2), torch.tensor([0, 0])).tolist()) == {0.0, 1.0}


def test_a_task_with_its_own_encoding_and_two_inputs():
    task = own(model=TwoInputs)
    schema = task.infer(ROWS)
    assert task.check(ROWS, schema) is schema
    examples = task.encode(ROWS, schema)
    assert TASKS.score(task, task.build(schema), examples).shape == (6,)
    part = examples.take(torch.tensor([4, 1]))
    assert [i.flatten().tolist() for i in part.inputs] == [[4.0, 1.0], [16.0, 1.0]]
    assert part.targets.tolist() == [0, 1]


def test_half_an_encoding_is_refused():
    with pytest.raises(InputError, match="belong together"):
        own(infer_schema=None)


def fail(*_):
    raise KeyError("age")


@pytest.mark.parametrize("name", ["infer_schema", "check_rows", "encode_rows"])
@pytest.mark.parametrize(("code", "message"), [(fail, "KeyError: 'age'"), (lambda *_: None, "NoneType")])
def test_failing_user_code_is_named(name, code, message):
    task, schema = own(**{name: code}), own().infer(ROWS)
    call = {"infer_schema": lambda: task.infer(ROWS), "check_rows": lambda: task.check(ROWS, schema)}
    with pytest.raises(UserCodeError, match=message) as caught:
        call.get(name, lambda: task.encode(ROWS, schema))()
    assert caught.value.where == name


def test_the_users_own_input_error_passes_unchanged():
    def refuse(rows, schema):
        raise InputError("no rain data", where="x", got="none", fix="add them")

    with pytest.raises(InputError, match="no rain data") as caught:
        own(check_rows=refuse).check(ROWS, own().infer(ROWS))
    assert type(caught.value) is InputError  # UserCodeError is one too


def test_predict_goes_through_in_chunks_in_order():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    values = torch.arange(2500.0)[:, None]
    parts = TASKS.predict(model, TASKS.Examples(values, torch.arange(2500)))
    assert len(parts) > 1
    assert torch.equal(torch.cat([outputs for outputs, _ in parts]), values)
    assert torch.equal(torch.cat([targets for _, targets in parts]), torch.arange(2500))
    assert not parts[0][0].requires_grad


def test_predict_uses_evaluation_mode_and_puts_back_every_modules_own():
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.5), nn.Linear(1, 2))
    model.train()
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examples = TASKS.Examples(torch.randn(8, 1), torch.zeros(8, dtype=torch.int64))
    first, second = (TASKS.predict(model, examples)[0][0] for _ in range(2))
    assert torch.equal(first, second)
    assert [m.training for m in model.modules()] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_modes_are_put_back_when_the_model_fails():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(UserCodeError, match="the model"):
        TASKS.predict(model, TASKS.Examples(torch.zeros(4, 1), torch.zeros(4)))
    assert model.training and model[0].training


def test_scores_must_be_one_for_each_example():
    task = own(model=TwoInputs, score_fn=lambda outputs, targets: outputs.mean())
    schema = task.infer(ROWS)
    with pytest.raises(UserCodeError, match=r"shape \[\] for 6 examples"):
        TASKS.score(task, task.build(schema), task.encode(ROWS, schema))


def test_the_description_identifies_the_task():
    task = TASKS.TabularClassification(hidden=(8,))
    assert task.describe() == TASKS.TabularClassification(hidden=(8,)).describe()
    others = [
        TASKS.TabularClassification(hidden=(9,)),
        TASKS.TabularClassification(hidden=(8,), columns=["x"]),
        TASKS.TabularClassification(hidden=(8,), group="g"),
        TASKS.TabularClassification(model=linear),
        TASKS.TextClassification(),
    ]
    assert all(other.describe() != task.describe() for other in others)
