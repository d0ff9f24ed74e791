"""What infer and check accept, encode can encode: finite numbers, every row, the right classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import headstart as hs
from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows

TASKS = hs.tasks


def text(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


FIRST = Rows(
    {
        "age": np.array([20.0, 30.0, 40.0, 50.0]),
        "city": text(["rome", "oslo", "rome", "bern"]),
        "label": np.array([7, 3, 7, 3]),
    }
)
number = st.one_of(st.floats(-100, 100), st.floats())
record = st.fixed_dictionaries(
    {
        "age": number,
        "city": st.sampled_from(["rome", "oslo", "", "\ud800", "new"]),
        "label": st.sampled_from([3.0, 7.0, 8.0, 3.5]),
    }
)


@given(st.lists(record, max_size=6), st.sampled_from(["refuse", "mean"]), st.booleans())
def test_what_check_accepts_encode_can_encode(records, missing, grow):
    task = TASKS.TabularClassification(missing=missing, allow_new_classes=grow)
    columns = {name: np.array([r[name] for r in records], dtype=np.float64) for name in ("age", "label")}
    rows = Rows({**columns, "city": text([r["city"] for r in records])})
    try:
        schema = task.check(rows, task.infer(FIRST))
    except InputError:
        return
    examples = task.encode(rows, schema)
    assert examples.inputs.shape == (len(records), 4) and torch.isfinite(examples.inputs).all()
    assert [schema.target["classes"][i] for i in examples.targets] == columns["label"].tolist()
    assert schema.target["classes"][:2] == [3, 7]
    assert missing == "mean" or np.isfinite(columns["age"]).all()


@given(st.lists(st.lists(number, min_size=2, max_size=2), min_size=2, max_size=6))
def test_what_infer_accepts_is_json_and_encodes_to_finite_numbers(values):
    rows = Rows({"v": np.array(values), "label": np.arange(len(values)) % 2})
    task = TASKS.TabularClassification(missing="mean")
    schema = task.infer(rows)
    again = TASKS.Schema.from_dict(json.loads(json.dumps(schema.to_dict(), allow_nan=False)))
    assert again == schema
    assert torch.isfinite(task.encode(rows, again).inputs).all()


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text_has_features_of_length_one_or_zero(texts):
    task = TASKS.TextClassification("label", features=32)
    schema = task.infer(Rows({"text": text(["the cat", "a dog"]), "label": np.array([0, 1])}))
    rows = Rows({"text": text(texts), "label": np.zeros(len(texts), dtype=np.int64)})
    norms = task.encode(rows, task.check(rows, schema)).inputs.norm(dim=1)
    assert all(norm == 0 or norm == pytest.approx(1, abs=1e-5) for norm in norms.tolist())
