"""Built-in sets: bundled, from a data folder, and from the hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.lifecycle.data.embedded import NAMES, load

TEXT = "\n\n".join(f"{i} " + "x" * 600 for i in range(20))


def published(name: str) -> str:
    """The data folder, or the test is skipped."""
    folder = os.environ.get("HEADSTART_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"no folder {name} in HEADSTART_DATA")
    return folder


@pytest.mark.parametrize(
    ("name", "rows", "width", "classes"),
    [("digits", 1797, 64, 10), ("iris", 150, 4, 3), ("wine", 178, 13, 3), ("breast-cancer", 569, 30, 2)],
)
def test_bundled_sets(name, rows, width, classes):
    pytest.importorskip("sklearn")
    table = load(name)
    assert len(table) == rows and len(table.columns) == width + 1
    assert sorted(set(table.column("label").tolist())) == list(range(classes))
    assert table.source == name and load(name).digest() == table.digest()
    if name == "digits":
        assert list(table.columns)[:2] == ["pixel_0", "pixel_1"]
    with pytest.raises(InputError, match="one part"):
        load(name, part="test")


def test_cifar10():
    pytest.importorskip("pyarrow")
    published("cifar10")
    table = load("cifar10", part="test")
    assert len(table) == 10_000 and table.column("image")[0][:2] == b"\xff\xd8"
    assert np.bincount(table.column("label")).tolist() == [1000] * 10


def test_banking77():
    folder = published("banking77")
    table = load("banking77", data_dir=folder)
    assert len(table) == 10_003 and len(set(table.column("category"))) == 77
    assert len(load("banking77", part="test")) == 3080


def test_shakespeare():
    folder = published("shakespeare")
    parts = [load("shakespeare", part=part) for part in ("train", "test")]
    whole = "\n\n".join(block for part in parts for block in part.column("text"))
    (file,) = (Path(folder) / "shakespeare").glob("*.txt")
    assert whole == file.read_text(encoding="utf-8")
    assert len(parts[0]) > 8 * len(parts[1]) > 0


def test_unknown_names_and_parts_are_refused():
    for name, part in (("mnist", "train"), ("iris", "dev")):
        with pytest.raises(InputError, match="cifar10"):
            load(name, part=part)
    assert len(NAMES) == 7


def test_an_incomplete_folder_is_refused(tmp_path):
    for name in ("cifar10", "banking77", "shakespeare"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=rf"not complete.*{name}"):
            load(name, data_dir=tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "banking77", "shakespeare"])
def test_without_folder_and_library_it_says_how_to_get_the_set(monkeypatch, tmp_path, name):
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=rf"HEADSTART_DATA/{name}.*headstart\[data\]"):
        load(name)


def hub(monkeypatch, tmp_path, answer) -> list[tuple]:
    """Stands for the `datasets` library; returns what it was asked for."""
    asked: list[tuple] = []
    module = ModuleType("datasets")

    def load_dataset(repository, *, revision, split):
        asked.append((repository, revision, split))
        return answer() if callable(answer) else answer

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    return asked


def test_the_hub_gives_the_columns_of_the_folder(monkeypatch, tmp_path):
    pa = pytest.importorskip("pyarrow")
    images = pa.array(
        [{"bytes": b"p", "path": None}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    table = pa.table({"img": images, "label": pa.array([3])})
    asked = hub(monkeypatch, tmp_path, SimpleNamespace(data=SimpleNamespace(table=table)))
    rows = load("cifar10", part="test")
    assert rows.column("image").tolist() == [b"p"] and rows.column("label").tolist() == [3]
    table = pa.table({"text": ["a", "b"], "label": [1, 0]})
    features = {"label": SimpleNamespace(names=["lost", "found"])}
    also = hub(monkeypatch, tmp_path, SimpleNamespace(data=SimpleNamespace(table=table), features=features))
    assert load("banking77").column("category").tolist() == ["found", "lost"]
    assert asked + also == [
        ("uoft-cs/cifar10", "main", "test"),
        ("PolyAI/banking77", "refs/convert/parquet", "train"),
    ]


def test_shakespeare_from_the_hub_is_the_same_as_from_a_folder(monkeypatch, tmp_path):
    parts = {"train": TEXT[:9000], "validation": TEXT[9000:10000], "test": TEXT[10000:]}
    hub(monkeypatch, tmp_path, {key: {"text": [text]} for key, text in parts.items()})
    fetched = [load("shakespeare", part=part) for part in ("train", "test")]
    (tmp_path / "shakespeare").mkdir()
    (tmp_path / "shakespeare" / "all.txt").write_text(TEXT, encoding="utf-8")
    local = [load("shakespeare", part=part) for part in ("train", "test")]
    assert [rows.digest() for rows in fetched] == [rows.digest() for rows in local]
    assert len(local[0]) == 18 and len(local[1]) == 2


def test_a_hub_out_of_reach_is_an_input_error(monkeypatch, tmp_path):
    def fail() -> None:
        raise ConnectionError("no route")

    hub(monkeypatch, tmp_path, fail)
    with pytest.raises(InputError, match=r"no route.*HEADSTART_DATA/cifar10"):
        load("cifar10")
