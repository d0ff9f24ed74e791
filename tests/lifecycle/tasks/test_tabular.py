"""Tabular tasks: schema, encoding, and what a later arrival may and may not bring."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks import Schema, TabularClassification, TabularRegression, Task, score


def rows(**columns: Any) -> Rows:
    return Rows({name: np.asarray(value) for name, value in columns.items()}, "data.csv")


def first() -> Rows:
    return rows(
        age=[1.0, 2.0, 4.0, 0.1],
        city=["b", "a", "b", "c"],
        v=np.arange(8.0).reshape(4, 2),
        same=[0.1] * 4,
        label=["no", "yes", "no", "yes"],
    )


def refused(work: Any, *words: str) -> InputError:
    with pytest.raises(InputError) as caught:
        work()
    assert type(caught.value) is InputError and all(caught.value.to_dict().values()), caught.value.to_dict()
    for word in words:
        assert word in str(caught.value)
    return caught.value


def changed(**columns: Any) -> Rows:
    return Rows({**first().columns, **{n: np.asarray(v) for n, v in columns.items()}}, "data.csv")


def test_a_schema_that_went_through_json_encodes_bit_for_bit() -> None:
    task = TabularClassification()
    schema = task.infer(first())
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict(), allow_nan=False)))
    before, after = task.encode(first(), schema), task.encode(first(), again)
    assert torch.equal(before.inputs, after.inputs) and torch.equal(before.targets, after.targets)  # type: ignore[arg-type]
    assert before.inputs.dtype == torch.float32 and before.targets.tolist() == [0, 1, 0, 1]  # type: ignore[union-attr]
    assert again.sizes["in_features"] == 1 + 3 + 2 + 1 and again.sizes["num_classes"] == 2


def test_numbers_are_standardized_and_texts_one_hot() -> None:
    task = TabularClassification()
    inputs = task.encode(first(), task.infer(first())).inputs
    assert isinstance(inputs, torch.Tensor)
    age = first().columns["age"]
    np.testing.assert_allclose(inputs[:, 0], (age - age.mean()) / age.std(), rtol=1e-6)
    assert inputs[:, 1:4].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    v = first().columns["v"]
    np.testing.assert_allclose(inputs[:, 4:6], (v - v.mean(0)) / v.std(0), rtol=1e-6)
    assert inputs[:, 6].tolist() == [0.0] * 4  # a constant column carries nothing


def test_the_scale_does_not_depend_on_the_unit() -> None:
    task = TabularClassification()

    def encoded(unit: float) -> torch.Tensor:
        data = rows(x=np.array([1.0, 2.0, 4.0]) * unit, label=[0, 1, 0])
        return torch.as_tensor(task.encode(data, task.infer(data)).inputs)

    torch.testing.assert_close(encoded(1e-15), encoded(1.0))
    torch.testing.assert_close(encoded(1e15), encoded(1.0))


def test_a_later_arrival_keeps_the_first_encoding_and_unknown_categories_are_zeros() -> None:
    task = TabularClassification()
    schema = task.infer(first())
    later = rows(
        label=["yes"], city=["nowhere"], age=[1.0], same=[0.1], v=[[0.0, 1.0]]
    )  # other order of columns
    assert task.check(later, schema) == schema
    inputs = torch.as_tensor(task.encode(later, schema).inputs)
    assert inputs[0, 1:4].tolist() == [0, 0, 0]
    assert torch.equal(inputs[0, :1], torch.as_tensor(task.encode(first(), schema).inputs)[0, :1])


def test_missing_numbers_are_refused_with_their_rows_or_become_the_mean() -> None:
    bad = changed(age=[np.nan, 2.0, np.inf, 3.0])
    for work in (
        lambda: TabularClassification().infer(bad),
        lambda: TabularClassification().check(bad, TabularClassification().infer(first())),
    ):
        refused(work, "2 values are missing", "column age, rows 1, 3", "missing='mean'")
    many = rows(x=[np.nan] * 8, label=[0, 1] * 4)
    refused(lambda: TabularClassification().infer(many), "8 values", "rows 1, 2, 3, 4, 5 and 3 more")
    task = TabularClassification(missing="mean")
    inputs = torch.as_tensor(task.encode(bad, task.infer(bad)).inputs)
    assert inputs[:, 0].tolist() == [0.0, -1.0, 0.0, 1.0]


def test_a_new_class_is_refused_or_appended_at_the_end() -> None:
    later = changed(label=["a new one", "yes", "also new", "a new one"])
    schema = TabularClassification().infer(first())
    refused(
        lambda: TabularClassification().check(later, schema),
        "'a new one' is not among the 2 known classes",
        "column label, rows 1, 4",
        "2 new classes: a new one, also new",
        "allow_new_classes=True",
    )
    task = TabularClassification(allow_new_classes=True)
    wide = task.check(later, schema)
    assert wide.target["classes"] == ["no", "yes", "a new one", "also new"]
    assert task.encode(later, wide).targets.tolist() == [2, 1, 3, 2]
    assert schema.target["classes"] == ["no", "yes"]
    refused(lambda: task.encode(later, schema), "column label, rows 1, 3, 4")
    assert wide.sizes["num_classes"] == 4


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ([0, 1, 0, 1], ["labels were strings and are whole numbers now"]),
        ([True, False, True, False], ["strings", "booleans"]),
        (["no", "", "no", ""], ["a label is missing", "rows 2, 4"]),
        ([0.5, 1.0, 2.0, np.nan], ["no whole number", "rows 1, 4"]),
        (np.zeros((4, 2)), ["shape [4, 2]"]),
        ([b"x"] * 4, ["column label"]),
    ],
)
def test_labels_of_another_kind_are_refused(label: Any, words: list[str]) -> None:
    task = TabularClassification()
    refused(lambda: task.check(changed(label=label), task.infer(first())), "column label", *words)


def test_float_labels_that_are_whole_are_whole_numbers() -> None:
    task = TabularClassification()
    schema = task.infer(rows(x=[1, 2, 3], label=[3.0, 1.0, 3.0]))
    assert schema.target["classes"] == [1, 3]
    later = rows(x=[1], label=[3])
    assert task.encode(later, task.check(later, schema)).targets.tolist() == [1]


def test_one_class_only_is_refused() -> None:
    refused(lambda: TabularClassification().infer(changed(label=["no"] * 4)), "one class only", "label")


def test_missing_and_extra_columns() -> None:
    task = TabularClassification()
    schema = task.infer(first())
    refused(lambda: task.check(first().drop("age", "v"), schema), "columns missing", "no age, v")
    refused(lambda: task.infer(first().drop("label")), "no label")
    more = changed(more=[1, 2, 3, 4])
    refused(lambda: task.check(more, schema), "first arrival did not have", "more", "extra_columns='ignore'")
    ignoring = TabularClassification(extra_columns="ignore")
    assert torch.equal(
        torch.as_tensor(ignoring.encode(more, ignoring.check(more, schema)).inputs),
        torch.as_tensor(task.encode(first(), schema).inputs),
    )
    refused(lambda: task.infer(first().drop("age", "city", "v", "same")), "no input column")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"age": ["x", "1", "y", "2"]}, ["column age, rows 1, 3", "number values"]),
        ({"age": np.zeros((4, 2))}, ["column age", "[2]"]),
        ({"city": [1, 2, 3, 4]}, ["column city", "category values"]),
        ({"city": [b"b"] * 4}, ["column city", "bytes"]),
        ({"v": np.zeros((4, 3))}, ["column v", "shape [2]"]),
    ],
)
def test_a_column_that_changes_its_kind_is_refused(column: dict[str, Any], words: list[str]) -> None:
    task = TabularClassification()
    refused(lambda: task.check(changed(**column), task.infer(first())), *words)


def test_columns_group_and_slices_choose_the_inputs() -> None:
    task = TabularClassification(columns=["v"], group="city", slices=["same"])
    assert task.infer(first()).sizes["in_features"] == 2
    assert (task.group, task.slices) == ("city", ("same",))
    aside = TabularClassification(group="city", slices=["same"])
    assert list(aside.infer(first()).columns) == ["age", "v"]
    refused(lambda: TabularClassification(group="user").infer(first()), "no user")
    refused(lambda: TabularClassification(slices=["region"]).infer(first()), "no region")
    many = rows(id=[str(i) for i in range(1001)], label=[0] + [1] * 1000)
    refused(lambda: TabularClassification().infer(many), "column id", "1001 values")


@pytest.mark.parametrize(
    "options",
    [
        {"columns": "age"},
        {"columns": ["age", "label"]},
        {"columns": [1]},
        {"columns": []},
        {"slices": "city"},
        {"hidden": "64"},
        {"hidden": [0]},
        {"hidden": 64},
        {"hidden": [6.5]},
        {"extra_columns": "drop"},
        {"missing": "median"},
        {"missing": ["mean"]},
        {"allow_new_classes": "false"},
        {"group": 3},
        {"group": ["city"]},
        {"target": None},
        {"target": ["label"]},
        {"target": ""},
        {"model": {"x": 8}},
        {"model": 3},
    ],
)
def test_options_of_the_wrong_kind_are_refused_at_once(options: dict[str, Any]) -> None:
    error = refused(lambda: TabularClassification(**options))
    assert error.where == f"task.{next(iter(options))}"


def test_regression_works_in_units_of_the_targets_spread() -> None:
    values = np.array([10.0, 20.0, 60.0, 30.0])
    task, data = TabularRegression("price"), rows(x=[1, 2, 3, 4], price=values)
    schema = task.infer(data)
    examples = task.encode(data, schema)
    truth = (values - values.mean()) / values.std()
    np.testing.assert_allclose(examples.targets, truth, rtol=1e-6)
    outputs = torch.tensor([[0.5], [0.0], [-1.0], [2.0]])
    np.testing.assert_allclose(
        task.scores(outputs, examples.targets), -((outputs.flatten().numpy() - truth) ** 2), rtol=1e-5
    )
    assert task.loss(outputs, examples.targets).item() == pytest.approx(
        -task.scores(outputs, examples.targets).mean().item()
    )
    np.testing.assert_allclose(task.baseline(examples, examples), -(truth**2), atol=1e-6)
    assert task.build(schema)(torch.zeros(3, 1)).shape == (3, 1) and not task.binary
    assert schema.sizes["out_features"] == 1


def test_regression_targets_that_are_no_numbers_are_refused() -> None:
    task = TabularRegression("price")
    refused(lambda: task.infer(rows(x=[1, 2], price=["a", "b"])), "column price", "no number")
    refused(lambda: task.infer(rows(x=[1, 2, 3], price=[1.0, np.nan, np.inf])), "column price, rows 2, 3")
    constant = rows(x=[1, 2, 3], price=[0.1, 0.1, 0.1])
    assert task.encode(constant, task.infer(constant)).targets.tolist() == [0.0, 0.0, 0.0]


def test_accuracy_and_the_majority_baseline() -> None:
    task = TabularClassification()
    data = rows(x=[1, 2, 3, 4, 5], label=[0, 1, 1, 1, 0])
    schema = task.infer(data)
    examples = task.encode(data, schema)
    assert task.baseline(examples, examples).tolist() == [0, 1, 1, 1, 0]

    class Zero(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.tensor([1.0, 0.0]).expand(len(inputs), 2)

    assert score(task, Zero(), examples).tolist() == [1, 0, 0, 0, 1]
    assert task.loss(torch.zeros(5, 2), examples.targets).item() == pytest.approx(np.log(2))


def test_a_plain_task_with_a_model_is_tabular_classification() -> None:
    task = Task(model=torch.nn.Linear)
    schema = task.infer(first())
    model = task.build(schema)
    assert isinstance(model, torch.nn.Linear) and model.weight.shape == (2, 7)
    refused(lambda: task.check(changed(label=["new"] * 4), schema), "allow_new_classes")
    refused(lambda: Task(model=torch.nn.Linear, slices="city"), "task.slices")
