"""Rows that stand twice: on two sides, or in a gate set and in the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import InputError
from headstart.lifecycle.data import DEV, GATE, TRAIN, Rows, split
from headstart.lifecycle.data.duplicates import across_sides, shared

FEW = settings(derandomize=True, deadline=None, max_examples=40, database=None)
TABLES = st.lists(
    st.tuples(st.integers(0, 30), st.text(max_size=3), st.integers(0, 3)), min_size=1, max_size=40
)


def table(records: list[tuple[int, str, int]]) -> Rows:
    numbers, texts, labels = zip(*records, strict=True)
    return Rows({"n": list(numbers), "t": list(texts), "label": list(labels)})


def test_rows_shared_with_a_gate_set_are_named_in_both():
    train = Rows({"n": [5, 7, 5], "label": [0, 1, 0]})
    gate = Rows({"label": [1, 1, 1], "n": [9.0, 5.0, 7.0]})
    assert shared(train, gate, ignore=["label"]) == [(0, 1), (1, 2)]
    assert shared(train, gate) == [(1, 2)]
    with pytest.raises(InputError, match="no such column"):
        shared(train, Rows({"other": [1]}))


def test_nothing_is_shared_with_nothing():
    rows = Rows({"n": [1, 2]})
    assert shared(rows, rows.take([])) == shared(rows.take([]), rows) == []
    assert across_sides(rows, np.array([TRAIN, TRAIN])) == []


def test_content_on_two_sides_is_found():
    rows = Rows({"n": [1, 2, 1, 3, 2], "who": ["a", "b", "c", "d", "e"]})
    sides = np.array([TRAIN, GATE, DEV, TRAIN, TRAIN])
    assert across_sides(rows, sides, ignore=["who"]) == [(4, 1), (0, 2)]
    assert across_sides(rows, sides) == []
    with pytest.raises(InputError, match="one side for each row"):
        across_sides(rows, sides[:2])
    with pytest.raises(InputError, match="no column is left"):
        across_sides(rows, sides, ignore=["n", "who"])


@FEW
@given(TABLES)
def test_a_split_by_content_leaves_nothing_on_two_sides(records):
    rows = table(records)
    sides = split(rows, salt="s", ignore=["label"], fractions=(0.4, 0.3, 0.3))
    assert across_sides(rows, sides, ignore=["label"]) == []
