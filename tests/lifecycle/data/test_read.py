"""Readers: files of every format, frames, records and data sets, and what they refuse."""

from __future__ import annotations

import datetime
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from headstart.errors import InputError, UserCodeError
from headstart.lifecycle.data.read import read
from headstart.lifecycle.data.rows import Rows


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns(rows: Rows) -> dict[str, Any]:
    return {name: value.tolist() for name, value in rows.columns.items()}


def refused(data: Any, *words: str, error: type[InputError] = InputError) -> InputError:
    with pytest.raises(error) as caught:
        read(data)
    assert all(caught.value.to_dict().values()), caught.value.to_dict()
    for word in words:
        assert word in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeffa,b\n1,x\n", {"a": [1], "b": ["x"]}),
        ('a,b\n1,"x, ""y""\nz"\n', {"a": [1], "b": ['x, "y"\nz']}),
        ("a;b\n1,5;x\n2,5;y\n", {"a": ["1,5", "2,5"], "b": ["x", "y"]}),
        ("a\tb\r\n1\t2\r\n\r\n3\t4\r\n", {"a": [1, 3], "b": [2, 4]}),
        ("a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
        ("zip,n\n01234,0\n99999,-0.5\n", {"zip": ["01234", "99999"], "n": [0.0, -0.5]}),
        (" a , b \n 1 , x \n", {"a": [1], "b": ["x"]}),
        ("a,b\n1_000,+1e3\n2,-2\n", {"a": ["1_000", "2"], "b": [1000.0, -2.0]}),
        ("a,b\nx\u2028y,1\nx\x0cy\x85,2\n", {"a": ["x\u2028y", "x\x0cy"], "b": [1, 2]}),
        ("a,b\n9223372036854775807,1\n-9223372036854775808,2\n", {"a": [2**63 - 1, -(2**63)], "b": [1, 2]}),
        ("id\n9223372036854775809\n1\n", {"id": ["9223372036854775809", "1"]}),
        ("a,id\n1,9007199254740993\n2,\n", {"a": [1, 2], "id": ["9007199254740993", ""]}),
        ("a\n100000000000000000000\n", {"a": [1e20]}),
        (f"a\n{'9' * 5000}\n", {"a": ["9" * 5000]}),
    ],
)
def test_csv_cells_are_read_as_they_are_meant(tmp_path: Path, content: str, expected: dict[str, Any]) -> None:
    found = columns(read(write(tmp_path, "t.csv", content)))
    assert found == expected
    assert {n: type(v[0]) for n, v in found.items()} == {n: type(v[0]) for n, v in expected.items()}


def test_empty_csv_cells_are_nan_among_numbers_and_empty_text_else(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "t.csv", "n,t,e\n1,x,\n,,\n"))
    np.testing.assert_array_equal(rows.columns["n"], [1.0, np.nan])
    assert rows.columns["t"].tolist() == ["x", ""] and rows.columns["e"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty", "0 bytes"]),
        (b"a,b\n", ["header only"]),
        (b"\xef\xbb\xbf", ["header"]),
        (b"a,b\n1,2\n1,2,3\n", ["row 2", "3 cells", "the header has 2"]),
        (b"a,b,a\n1,2,3\n", ["a, b, a", "used once"]),
        (b"a,,c\n1,2,3\n", ["header"]),
        (b'a,b\n1,"2\n3,4\n', ["quote"]),
        (b"a,b\n1,caf\xe9\n", ["UTF-8", "line 2"]),
        ("a,b\n1,2\n".encode("utf-16"), ["UTF-8"]),
        ("a,b\n1,2\n".encode("utf-16-le"), ["NUL", "line 1"]),
        (b"a,b\n1,x\x00y\n", ["NUL", "line 2"]),
    ],
)
def test_a_csv_file_that_is_none_is_refused(tmp_path: Path, content: bytes, words: list[str]) -> None:
    error = refused(write(tmp_path, "t.csv", content), *words)
    assert "t.csv" in error.where


def test_json_lines_are_read(tmp_path: Path) -> None:
    lines = [{"t": "a\u2028b", "n": 1, "v": [1, 2], "f": True}, {"f": False, "n": None, "v": [3, 4], "t": ""}]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    rows = read(write(tmp_path, "t.jsonl", "\ufeff" + text))
    assert rows.columns["t"].tolist() == ["a\u2028b", ""]
    np.testing.assert_array_equal(rows.columns["n"], [1, np.nan])
    assert rows.columns["v"].shape == (2, 2) and rows.columns["f"].dtype == np.bool_


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": 1}\n{"b": 1}', ["row 2", "a, b"]),
        ('{"a": 1}\n\n{"a": NaN}', ["line 3", "NaN"]),
        ('{"a": 1}\n[1]', ["line 2", "no JSON object"]),
        ('{"a": 1}\n{"a": ', ["line 2"]),
        ('{"a": {"b": 1}}', ["column a", "row 1"]),
        ('{"a": "x"}\n{"a": 1}', ["column a", "row 2"]),
        ('{"a": "x"}\n{"a": null}', ["column a", "row 2"]),
        ('{"a": [1, 2]}\n{"a": [1]}', ["column a", "shape"]),
        ('{"a": [[1, 2], [1]]}', ["column a", "shape"]),
        ('{"a": ["x"]}', ["column a"]),
        ('{"a": 123456789012345678901}', ["column a", "as text"]),
        (f'{{"a": {"9" * 4000}}}', ["column a", "as text"]),
        (f'{{"a": {"9" * 5000}}}', ["line 1"]),
        ("[" * 100_000, ["line 1"]),
        ("{}", ["no column"]),
        ("\n\n", ["no rows"]),
    ],
)
def test_json_lines_that_make_no_table_are_refused(tmp_path: Path, content: str, words: list[str]) -> None:
    refused(write(tmp_path, "t.jsonl", content), *words)


def test_parquet_gives_images_vectors_and_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": [{"bytes": b"one", "path": None}, {"bytes": b"two", "path": "p"}],
            "v": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
            "n": pa.array([1, None]),
            "c": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    folder = tmp_path / "day=3"  # no column of a partition comes from the folder's name
    folder.mkdir()
    pq.write_table(table, folder / "t.parquet")
    rows = read(folder / "t.parquet")
    assert list(rows.columns) == ["image", "v", "n", "c"]
    assert rows.columns["image"].tolist() == [b"one", b"two"]
    assert rows.columns["v"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    np.testing.assert_array_equal(rows.columns["n"], [1.0, np.nan])
    assert rows.columns["c"].tolist() == ["x", "y"]


def test_parquet_that_is_damaged_or_holds_other_things_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    raw = path.read_bytes()
    for damaged in (raw[: len(raw) // 2], b"PAR1" + raw[4:-4] + b"XXXX", b"PAR1"):
        refused(write(tmp_path, "bad.parquet", damaged), "bad.parquet", "Parquet")
    for column, words in (
        ([datetime.datetime(2020, 1, 1)], ["column a", "row 1"]),
        ([{"bytes": b"x"}, None], ["column a", "row 2"]),
    ):
        pq.write_table(pa.table({"a": column}), path)
        refused(path, *words)
    refused(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "twice", "got: a")
    refused(pa.table({"a": pa.array([], pa.int64())}), "no rows")


@pytest.mark.parametrize(
    "kind",
    [pa.date32(), pa.time64("us"), pa.duration("s"), pa.timestamp("s"), pa.timestamp("us", "Nowhere/No")],
)
def test_parquet_with_times_that_python_does_not_have_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    numbers = pa.array([2**31 - 1], pa.int32()) if kind == pa.date32() else pa.array([2**62], pa.int64())
    table = pa.table({"when": numbers.view(kind)})
    refused(table, "column when", "leave the column out")
    if kind != pa.timestamp("s") and kind != pa.duration("s"):  # which a file keeps in a finer unit
        pq.write_table(table, tmp_path / "t.parquet")
        refused(tmp_path / "t.parquet", "column when")


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(["", "a", "\n", "bc", "x" * 400, "y" * 1300]), min_size=1, max_size=12))
def test_text_blocks_rejoin_to_the_file(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    text = "\n\n".join(pieces)
    path = write(tmp_path_factory.mktemp("text"), "t.txt", text)
    if not text.strip():
        if text:
            refused(path, "no rows")
        return
    blocks = read(path).columns["text"].tolist()
    assert "\n\n".join(blocks) == text
    assert len(blocks) == 1 or all(len(block) >= 2 for block in blocks)
    long = [block for block in blocks if len(block) > 1010]
    assert all("y" * 1300 in block for block in long)


def png(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2), shade).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_folder_of_class_folders_is_read_in_order(tmp_path: Path) -> None:
    for name in ("dog/b.png", "cat/z.PNG", "cat/a.jpg", "cat/._a.jpg", ".hidden/a.png", "cat/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path, name, name)
    rows = read(tmp_path)
    assert rows.columns["label"].tolist() == ["cat", "cat", "dog"]
    assert rows.columns["image"].tolist() == [b"cat/a.jpg", b"cat/z.PNG", b"dog/b.png"]


@pytest.mark.parametrize("kind", ["file", "folder", "broken", "directory"])
def test_a_link_out_of_the_image_folder_is_refused(tmp_path: Path, kind: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "cat").mkdir(parents=True)
    secret = write(outside, "secret.png", png())
    link = root / "dog" if kind == "folder" else root / "cat" / "x.png"
    if kind == "directory":
        link.mkdir()
    else:
        link.symlink_to({"file": secret, "folder": outside, "broken": outside / "none"}[kind])
    refused(root, "no regular file inside the folder", "x.png" if kind != "folder" else "secret.png")


def test_frames_records_and_arrays_give_the_same_rows() -> None:
    content = {"n": [1, 2], "f": [0.5, 1.5], "t": ["a", "b"], "flag": [True, False]}
    frame = pd.DataFrame(content)
    expected = read(content).digest()
    for data in (
        frame,
        frame.convert_dtypes(),
        frame.astype({"t": "category"}),
        pl.DataFrame(content),
        pl.DataFrame(content).lazy(),
        pa.table(content),
        pa.RecordBatch.from_pydict(content),
        [dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)],
        tuple(dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)),
        {
            "n": np.int8([1, 2]),
            "f": torch.tensor([0.5, 1.5], dtype=torch.float64),
            "t": frame["t"],
            "flag": (True, False),
        },
        {
            "n": pa.array([1, 2]),
            "f": pl.Series([0.5, 1.5]),
            "t": pa.array(["a", "b"]),
            "flag": iter([True, False]),
        },
    ):
        assert read(data).digest() == expected, type(data)


def test_missing_values_of_frames_are_nan_or_refused() -> None:
    for frame in (pd.DataFrame({"a": [1, None]}, dtype="Int64"), pl.DataFrame({"a": [1, None]})):
        np.testing.assert_array_equal(read(frame).columns["a"], [1.0, np.nan])
    masked = np.ma.masked_array([1.0, 5.0], mask=[False, True])
    np.testing.assert_array_equal(read({"a": masked}).columns["a"], [1.0, np.nan])
    for frame in (pd.DataFrame({"a": ["x", None]}), pl.DataFrame({"a": ["x", None]})):
        refused(frame, "column a", "row 2")
    refused(pd.DataFrame([[1, 2]], columns=["a", "a"]), "twice")


def test_a_pair_gives_x_and_y_from_arrays_and_frames() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
    expected = read((x, y))
    assert list(expected.columns) == ["x", "y"]
    for pair in (
        (pd.DataFrame(x, columns=["a", "b"]), pd.Series(y)),
        (pl.DataFrame(x), pl.Series(y)),
        (torch.tensor(x), torch.tensor(y)),
        (x.tolist(), y.tolist()),
        (list(torch.tensor(x)), list(torch.tensor(y))),
    ):
        assert read(pair).digest() == expected.digest()
    refused((x, y[:2]), "length", "x: 3, y: 2")
    half = read((torch.ones(2, 3, dtype=torch.bfloat16), torch.eye(2).to_sparse()))
    assert half.columns["x"].shape == (2, 3) and half.columns["y"].tolist() == [[1, 0], [0, 1]]


class Items(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


class NoLength(Items):
    def __len__(self) -> int:
        raise NotImplementedError


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[int]:
        return iter([1])


def test_torch_data_sets_are_read() -> None:
    pairs = read(Items([(torch.tensor([1.0, 2.0]), 0), (np.array([3.0, 4.0], np.float32), torch.tensor(1))]))
    assert columns(pairs) == {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0, 1]}
    pictures = read(Items([(Image.new("L", (3, 2)), 0), (Image.new("L", (3, 2), 9), 1)]))
    assert pictures.columns["x"].shape == (2, 2, 3) and pictures.columns["x"].dtype == np.uint8
    assert columns(read(Items([{"a": "x", "b": 1}]))) == {"a": ["x"], "b": [1]}


def test_a_failing_data_set_is_the_users_error() -> None:
    error = refused(Items([(1, 2), ValueError("boom")]), "item 1", "ValueError: boom", error=UserCodeError)
    assert isinstance(error.__cause__, ValueError)
    refused(NoLength([1]), "__len__", error=UserCodeError)
    refused(Items([(1, 2, 3)]), "item 0", "tuple")
    refused(Items([]), "no rows")
    refused(Stream(), "Stream")


@pytest.mark.parametrize(
    "data",
    [
        None, 5, 1.5, object(), [], {}, (), [1, 2], np.zeros((2, 2)), b"bytes", {1, 2}, (1, 2),
        ("a.csv", "b.csv"), {"a": 5}, {"a": "abc"}, {"a": b"abc"}, {"a": {"b": 1}}, {"a": {1, 2}},
        {"a": []}, {"a": [[1, 2], [3]]}, {"a": [object()]}, {"a": ["x", 1]}, {"a": [10**400]},
        {"a": [1], "b": [1, 2]}, [{"a": 1}, {}], lambda: 1, "", "no such file.csv", "x" * 5000, "a\x00b",
        "/dev/null",
    ],
    ids=lambda data: type(data).__name__,
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_all_four_parts(data: Any) -> None:
    refused(data)


def test_an_unknown_ending_and_an_unreadable_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(write(tmp_path, "t.xlsx", "x"), ".xlsx", ".parquet")
    refused(tmp_path, "empty folder" if not os.listdir(tmp_path) else "t.xlsx")

    def deny(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    refused(write(tmp_path, "t.csv", "a\n1\n"), "Permission denied", "t.csv")


def test_the_source_is_named_and_rows_pass_through(tmp_path: Path) -> None:
    rows = read({"a": [1]}, source="first")
    assert rows.source == "first" and read(rows) is rows
    path = write(tmp_path, "t.csv", "a\n1\n")
    assert read(str(path)).source == str(path)
    assert read(path, source="morning").source == "morning"
