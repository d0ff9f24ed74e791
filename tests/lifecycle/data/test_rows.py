"""Rows: content digests, the file format, joining and taking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from headstart.errors import InputError, StoreError
from headstart.lifecycle.data.rows import Rows, concat, load_rows, save_rows

BASE: dict[str, Any] = {"a": [1, 2, 3], "b": ["x", "", "é\u2028"]}


def table(columns: dict[str, Any] | None = None, source: str = "memory") -> Rows:
    return Rows({n: np.asarray(v) for n, v in (columns or BASE).items()}, source)


def test_the_digest_does_not_depend_on_the_source_or_the_integer_type() -> None:
    assert table().digest() == table(source="other.csv").digest()
    assert table().digest() == Rows({**BASE, "a": np.array([1, 2, 3], np.int16)}).digest()
    assert table().digest() == Rows({**BASE, "a": np.array([1, 2, 3], ">i4")}).digest()


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1, 3, 2], "b": BASE["b"]},
        {"a": [1.0, 2.0, 3.0], "b": BASE["b"]},
        {"a": [1, 2, 3], "b": ["", "x", "é\u2028"]},
        {"a": [1, 2, 3], "b": ["xé\u2028", "", ""]},
        {"a": [1, 2, 3], "c": BASE["b"]},
        {"b": BASE["b"], "a": [1, 2, 3]},
        {"a": [[1], [2], [3]], "b": BASE["b"]},
    ],
)
def test_the_digest_sees_order_value_kind_name_and_shape(other: dict[str, Any]) -> None:
    assert table(other).digest() != table().digest()


def test_equal_numbers_have_equal_row_digests_and_texts_do_not() -> None:
    def digest(value: Any) -> str:
        return table({"v": [value]}).row_digests()[0]

    assert digest(1) == digest(1.0) == digest(True) == table({"v": np.float32([1])}).row_digests()[0]
    assert digest(0.0) == digest(-0.0)
    assert len({digest("1"), digest("01"), digest(1), digest(b"1"), digest(2)}) == 5
    assert digest(2**60 + 1) != digest(2**60) == digest(float(2**60))
    negative_nan = np.frombuffer(np.uint64(0xFFF8000000000001).tobytes(), np.float64)
    assert digest(np.nan) == Rows({"v": negative_nan}).row_digests()[0]


def test_a_row_digest_depends_on_its_own_row_only() -> None:
    alone = table({"v": [7]}).row_digests()
    assert table({"v": [7, 2**62 + 1]}).row_digests()[:1] == alone
    assert table({"v": [7.0, np.nan]}).row_digests()[:1] == alone


def test_row_digests_of_named_columns_ignore_the_others_and_their_order() -> None:
    other = Rows({"b": table().columns["b"], "a": np.array([9, 9, 9])})
    assert table().row_digests(["b"]) == other.row_digests(["b"])
    assert table().row_digests(["a", "b"]) == table().row_digests(["b", "a"])
    with pytest.raises(InputError, match="columns are: a, b"):
        table().row_digests(["nothing"])


def test_neighbouring_cells_do_not_run_into_each_other() -> None:
    first, second = table({"a": ["xy"], "b": ["z"]}), table({"a": ["x"], "b": ["yz"]})
    assert first.row_digests() != second.row_digests()


NAMES = st.lists(st.text(max_size=8) | st.just("__metadata__") | st.just("t#offsets"), unique=True)
TEXTS = st.lists(st.text(st.characters(codec=None), max_size=5), min_size=2, max_size=2)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(names=NAMES, texts=TEXTS, raw=st.lists(st.binary(max_size=4), min_size=2, max_size=2))
def test_a_saved_table_loads_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], texts: list[str], raw: list[bytes]
) -> None:
    extra = {name: np.array(texts, dtype=object) for name in names}
    columns = {
        **extra,
        "t": np.array(texts, dtype=object),
        "raw": np.array(raw, dtype=object),
        "f": np.array([np.nan, -0.0], np.float32),
        "i": np.array([2**63 - 1, -(2**63)]),
        "flag": np.array([True, False]),
        "image": np.arange(8, dtype=np.uint8).reshape(2, 2, 2),
    }
    rows, path = Rows(columns), tmp_path_factory.mktemp("rows") / "r.safetensors"
    save_rows(rows, path)
    loaded = load_rows(path)
    assert loaded.digest() == rows.digest()
    assert list(loaded.columns) == list(rows.columns)
    assert {n: v.dtype for n, v in loaded.columns.items()} == {n: v.dtype for n, v in rows.columns.items()}


def text_file(offsets: Any, kinds: Any = None, **more: Any) -> tuple[dict[str, Any], str]:
    tensors = {"0": np.frombuffer(b"abc", np.uint8), "0#offsets": np.asarray(offsets), **more}
    return tensors, json.dumps([["t", "text"]] if kinds is None else kinds)


@pytest.mark.parametrize(
    ("tensors", "kinds"),
    [
        text_file([0, 9]),
        text_file([1, 3]),
        text_file([0, 2, 1, 3]),
        text_file(np.zeros(0, np.int64)),
        text_file([0.0, 3.0]),
        text_file([[0, 1], [2, 3]]),
        text_file([0, 3], [["t", "int64"]]),
        text_file([0, 3], [["t", ["text"]]]),
        text_file([0, 3], [["t", "text"], ["u", "text"]]),
        text_file([0, 3], [["t", "text"], ["t", "text"]], stray=np.zeros(1)),
        text_file([0, 3], {}),
        text_file([0, 3], 5),
        text_file([0, 3], "text"),
        (text_file([0, 3])[0], "[" * 100_000),
        (text_file([0, 3])[0], "no json"),
        ({"0": np.frombuffer(b"\xff", np.uint8), "0#offsets": np.array([0, 1])}, '[["t", "text"]]'),
        ({"0": np.zeros(1, np.float16)}, '[["t", "float16"]]'),
        ({"0": np.zeros(1), "1": np.zeros(2)}, '[["a", "float64"], ["b", "float64"]]'),
    ],
)
def test_a_hostile_file_is_a_store_error(tmp_path: Path, tensors: dict[str, Any], kinds: str) -> None:
    path = tmp_path / "hostile.safetensors"
    save_file(tensors, str(path), metadata={"headstart.rows": kinds})
    with pytest.raises(StoreError) as caught:
        load_rows(path)
    assert all(caught.value.to_dict().values())


@pytest.mark.parametrize(
    "damage", [lambda raw: b"", lambda raw: raw[:20], lambda raw: raw[:-1], lambda raw: b"x" * 99]
)
def test_a_damaged_or_missing_file_is_a_store_error(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "r.safetensors"
    save_rows(table(), path)
    path.write_bytes(damage(path.read_bytes()))
    for file in (path, tmp_path / "none", tmp_path):
        with pytest.raises(StoreError):
            load_rows(file)


def test_take_keeps_the_order_and_understands_masks() -> None:
    assert table().take([2, 0]).columns["a"].tolist() == [3, 1]
    assert table().take(np.array([False, True, True])).columns["a"].tolist() == [2, 3]
    assert len(table().take([])) == 0
    assert list(table().drop("a", "nothing").columns) == ["b"]


def test_concat_joins_and_names_what_differs() -> None:
    whole = concat([table().take([0]), table().take([1, 2])])
    assert whole.digest() == table().digest()
    assert concat([table({"a": [1]}), table({"a": [1.5]})]).columns["a"].tolist() == [1.0, 1.5]
    with pytest.raises(InputError, match="got: b"):
        concat([table(), table().drop("b")])
    with pytest.raises(InputError, match="column a"):
        concat([table({"a": [1]}), table({"a": ["1"]})])
    with pytest.raises(InputError):
        concat([])


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": [1, 2], "b": [1]},
        {"a": 5},
        {"a": np.array([1, "x"], dtype=object)},
        {"a": np.array(["x", None], dtype=object)},
        {"a": np.array(["x", b"x"], dtype=object)},
        {"a": np.array([True, None], dtype=object)},
        {"a": np.array([2**70 + 1], dtype=object)},
        {"a": np.array([10**5000], dtype=object)},
        {"a": np.array([2**53 + 1, None], dtype=object)},
        {"a": np.array([2**64 - 1], dtype=np.uint64)},
        {"a": np.array(["2020-01-01"], dtype="M8[s]")},
        {"a": np.array([1j])},
        {"a": np.array([["x"]])},
        {"a": np.zeros(2, dtype=[("f", "i4")])},
    ],
)
def test_columns_that_are_no_columns_are_refused_with_all_four_parts(columns: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        Rows(columns, "data.csv")
    assert all(caught.value.to_dict().values())
    assert "data.csv" in caught.value.where


def test_missing_numbers_are_nan_and_foreign_byte_order_is_read() -> None:
    column = Rows({"a": np.array([1, None, np.float32(2.5)], dtype=object)}).columns["a"]
    np.testing.assert_array_equal(column, [1.0, np.nan, 2.5])
    assert Rows({"a": np.array([1.5], ">f8")}).columns["a"].tolist() == [1.5]
