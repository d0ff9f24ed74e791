"""One damage is one problem: what is said of it, and that nothing else is."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import torch

from headstart.errors import CorruptionError
from headstart.lifecycle import database as db
from headstart.lifecycle import seals
from headstart.lifecycle.artifact import commit_directory
from headstart.lifecycle.data.read import read
from headstart.lifecycle.store import ArrivalDraft, Store
from headstart.lifecycle.tensors import save_tensors
from headstart.lifecycle.verify import Problem

from .store_drafts import arrival, commit, table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two versions, the first one in service; three arrivals: forgotten, kept, referred to."""
    store = Store(tmp_path / "s")
    first = commit(store, 1.0)
    commit(store, 2.0, first.id)
    store.promote(first.id, expected=None, reason="")
    gone = store.add_arrival(arrival(table(3, seed=5)))
    store.add_arrival(arrival(table()))
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n3,4\n")
    rows = read(tmp_path / "rows.csv")
    sides = np.zeros(len(rows), dtype=np.int8)
    store.add_arrival(ArrivalDraft(reference=str(tmp_path / "rows.csv"), digest=rows.digest(), sides=sides))
    store.forget(gone.index)
    store.record("seen", "x", {"a": 1})
    assert store.verify() == []
    return store


def sql(store: Store, statement: str, *values: object) -> None:
    connection = sqlite3.connect(store.root / "store.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


def told(store: Store) -> list[tuple[str, str, str, str]]:
    found = store.verify()
    assert {problem.last_good for problem in found} <= {store.last_good()}
    return [(p.what, p.file, p.expected, p.found) for p in found]


def sha(path: Path) -> str:
    return f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_sound_store_has_none_and_a_problem_is_plain(store: Store) -> None:
    assert store.verify() == [] and store.last_good() == store.version_ids()[-1]
    problem = Problem("a", "b", "c", "d")
    assert problem.to_dict() == {"what": "a", "file": "b", "expected": "c", "found": "d", "last_good": None}


@pytest.mark.parametrize("kind", ["versions", "arrivals"])
def test_a_damaged_file(store: Store, kind: str) -> None:
    folder = store.versions()[1].path if kind == "versions" else store.arrivals()[1].opened().path
    name = "plan.json" if kind == "versions" else "sides.safetensors"
    path, whole = folder / name, sha(folder / name)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"~")
    assert told(store) == [("a file was changed", str(path), whole, sha(path))]
    assert store.last_good() == store.version_ids()[0 if kind == "versions" else 1]
    path.unlink()
    assert told(store) == [("a file cannot be read", str(path), whole, "no regular file")]
    (store.root / "elsewhere").write_bytes(content)
    path.symlink_to(store.root / "elsewhere")
    assert told(store) == [("a file cannot be read", str(path), whole, "no regular file")]
    path.unlink()
    path.mkdir()
    assert told(store) == [("a file cannot be read", str(path), whole, "no regular file")]
    path.rmdir()
    path.write_bytes(content)
    for extra in ("b", "a"):
        (folder / extra).touch()
    words = "a file does not belong here"
    assert told(store) == [(words, str(folder / extra), "no such file", "a file") for extra in ("a", "b")]


def test_an_unreadable_file_says_why(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise OSError(5, "Input/output error")

    path = store.versions()[1].path / "plan.json"
    expected = store.versions()[1].manifest["files"]["plan.json"]["sha256"]
    monkeypatch.setattr("headstart.lifecycle.verify.digest_of", refuse)
    found = told(store)
    assert ("a file cannot be read", str(path), f"sha256 {expected}", "Input/output error") in found


@pytest.mark.parametrize("kind", ["versions", "arrivals"])
def test_a_missing_or_damaged_folder(store: Store, kind: str) -> None:
    folder = store.versions()[0].path if kind == "versions" else store.arrivals()[1].opened().path
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content + b" ")
    assert told(store) == []  # the same content
    manifest.write_bytes(content.replace(b'"format": 1', b'"format": 2'))
    found = told(store)
    assert [what for what, *_ in found] == ["a manifest is damaged"] and found[0][1] == str(manifest)
    assert found[0][2] == f"identity {folder.name}"
    manifest.write_bytes(b"{")
    assert [(what, file) for what, file, *_ in told(store)] == [("a manifest is damaged", str(manifest))]
    shutil.rmtree(folder)
    expected = f"a folder with identity {folder.name}"
    assert told(store) == [("a stored folder is missing", str(folder), expected, "no such folder")]


@pytest.mark.parametrize("where", ["versions", "arrivals"])
def test_strangers(store: Store, where: str) -> None:
    folder = store.root / where
    (folder / ".tmp-ffffffff-1-a").mkdir()
    for name in ("a", "z"):
        (folder / name).touch()
    found = [
        ("this does not belong here", str(folder / n), "nothing", "a file or folder not ours") for n in "az"
    ]
    assert told(store) == found


@pytest.mark.parametrize(
    ("table_name", "count", "statement"),
    [
        ("versions", 1, "UPDATE versions SET created = 1 WHERE number = 2"),
        ("arrivals", 1, "UPDATE arrivals SET created = 1 WHERE number = 2"),
        ("events", 1, "UPDATE events SET reason = 'luck' WHERE number = 1"),
        ("records", 1, "UPDATE records SET payload = '{}' WHERE number = 1"),
        ("versions", 2, "UPDATE versions SET created = 1"),
    ],
)
def test_a_changed_row(store: Store, table_name: str, count: int, statement: str) -> None:
    sql(store, statement)
    found = [p for p in told(store) if p[0] == "stored content does not match its digest"]
    assert len(found) == count
    assert {file.partition("'s ")[2] for _, file, *_ in found} == {f"table {table_name}"}


def test_a_missing_row(store: Store) -> None:
    sql(store, "DELETE FROM arrivals WHERE number = 1")
    problem = ("a row is missing", "the database's table arrivals", "row 1", "2 other rows")
    assert problem in told(store)


@pytest.mark.parametrize("value", ["x", "first", None])
def test_a_champion_that_the_log_does_not_lead_to(store: Store, value: str | None) -> None:
    first, second = store.version_ids()
    if value is None:
        sql(store, "DELETE FROM aliases")
    else:
        sql(store, "UPDATE aliases SET version = ?", second if value == "first" else value)
    alias = {"x": "x", "first": second, None: "None"}[value]
    expected = [("the champion is not the one the log leads to", "champion", first, alias)]
    if value == "x":
        expected.append(("the champion is no version of this store", "champion", "a version", "x"))
    found = told(store)
    assert found[: len(expected)] == expected
    assert [place for _, place, *_ in found[len(expected) :]] == [
        "the database's table aliases" if value is None else "row champion of the database's table aliases"
    ]


def source_changed(path: Path) -> None:
    path.write_text("x,y\n1,2\n3,5\n")


@pytest.mark.parametrize("harm", [source_changed, Path.unlink])
def test_a_source_that_changed_or_is_gone(store: Store, harm: Callable[[Path], None]) -> None:
    path, digest = store.root.parent / "rows.csv", store.arrivals()[2].digest
    harm(path)
    [(what, file, expected, found)] = told(store)
    assert (file, expected) == (f"arrival 3, {path}", f"digest {digest}")
    if path.exists():
        assert what == "the data an arrival refers to have another digest now"
        assert found == f"digest {read(path).digest()}"
    else:
        assert what and found


def test_every_problem_is_listed_not_the_first_alone(store: Store) -> None:
    first, second = store.versions()
    shutil.rmtree(second.path)
    (first.path / "plan.json").write_bytes(b"")
    (store.arrivals()[1].opened().path / "manifest.json").write_bytes(b"")
    (store.root.parent / "rows.csv").unlink()
    (store.places.arrivals / "x").touch()
    assert len(told(store)) == 5 and store.last_good() is None


@pytest.mark.parametrize(
    ("table_name", "look"),
    [
        ("versions", Store.versions),
        ("arrivals", Store.arrivals),
        ("events", Store.log),
        ("records", lambda store: store.records("seen")),
    ],
)
def test_a_list_with_a_gap_is_not_given(
    store: Store, table_name: str, look: Callable[[Store], object]
) -> None:
    store.note("hold", store.version_ids()[1], reason="")
    store.record("seen", "y", {})
    look(store)
    sql(store, f"DELETE FROM {table_name} WHERE number = 1")
    with pytest.raises(CorruptionError, match=f"table {table_name}"):
        look(store)


@pytest.mark.parametrize("id", ["0" * 16, "x", ""])
def test_a_champion_that_is_no_version_is_an_error_of_ours(store: Store, id: str) -> None:
    sql(store, "UPDATE aliases SET version = ?", id)
    with pytest.raises(CorruptionError):
        store.champion()


@pytest.mark.parametrize("value", [b"\x00\xff", 7, 1.5])
def test_a_value_of_another_kind_is_damage_too(store: Store, value: object) -> None:
    sql(store, "UPDATE events SET reason = ? WHERE number = 1", value)
    with pytest.raises(CorruptionError, match="row 1 of the database's table events"):
        store.log()
    assert told(store)[0][1] == "row 1 of the database's table events"


def page_of_the_index(store: Store) -> tuple[Path, int]:
    """The database, closed, and the number of the page that holds the index of its records."""
    path = store.root / "store.db"
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_records_1'"
    page = connection.execute(query).fetchone()[0]
    connection.close()
    return path, page


def test_evidence_is_found_though_the_index_is_damaged(store: Store) -> None:
    store.record("trial", "x", {"a": 1})
    path, page = page_of_the_index(store)
    raw = bytearray(path.read_bytes())
    place = raw.index(b"trial", 4096 * (page - 1), 4096 * page)
    raw[place : place + 5] = b"trias"  # by the index there is no such kind
    path.write_bytes(raw)
    again = Store(store.root)
    assert again.records("trial") == [("x", {"a": 1})]
    assert again._db.damage()


def test_a_damaged_page_of_an_index_is_found(store: Store) -> None:
    path, page = page_of_the_index(store)
    raw = bytearray(path.read_bytes())
    raw[4096 * page - 3] ^= 1  # the last bytes of a page are those of its first entry
    path.write_bytes(raw)
    again = Store(store.root)
    assert again._db.damage() and all(isinstance(line, str) for line in again._db.damage())
    found = told(again)
    assert [problem[:3] for problem in found] == [
        ("the database is damaged", again._db.place, "a sound database")
    ]


def test_a_damaged_row_stops_no_other_removal(store: Store) -> None:
    """Two copies are to be removed; the row of the first is damaged."""
    kept, gone = (store.add_arrival(arrival(table(4, seed=n))) for n in (7, 8))
    folders = [a.opened().path for a in (kept, gone)]
    moved = [folder.rename(store.root / folder.name) for folder in folders]
    for index in (kept.index, gone.index):
        store.forget(index)
    for folder, copy in zip(folders, moved, strict=True):
        copy.rename(folder)
    sql(store, "UPDATE arrivals SET folder = ? WHERE number = ?", folders[0].name, kept.index)
    change_back(store, gone.index, folders[1].name)
    Store(store.root)
    assert folders[0].is_dir() and not folders[1].exists()


def change_back(store: Store, index: int, folder: str) -> None:
    """As a removal leaves it that was killed halfway: the row is sound and still names the folder."""
    with store._db.write() as connection:
        where = db.arrivals.c.number == index
        row = connection.execute(sa.select(db.arrivals).where(where)).one()
        seals.change(connection, db.arrivals, row, folder=folder)


def test_a_row_that_names_other_parents_than_the_manifest_is_damage(store: Store) -> None:
    second = store.version_ids()[1]
    with store._db.write() as connection:
        row = connection.execute(sa.select(db.versions).where(db.versions.c.id == second)).one()
        seals.change(connection, db.versions, row, parents=["f" * 16])
    with pytest.raises(CorruptionError, match=f"row of version {second}"):
        store.version(second)
    found = [problem[0] for problem in told(store)]
    assert found == ["parents differ from the manifest's"]


def test_a_list_that_cannot_be_read_is_a_problem_of_its_own(store: Store) -> None:
    store.note("hold", store.version_ids()[1], reason="")
    sql(store, "DELETE FROM events WHERE number = 1")
    place = ("the database's table events", "row 1", "1 other rows")
    assert told(store) == [("a row is missing", *place), ("stored content does not match its digest", *place)]


@pytest.mark.parametrize("tensors", [{"sides": 5}, {"sides": 6, "more": 6}, {"other": 6}])
def test_sides_of_another_length_or_name_are_damage(store: Store, tensors: dict[str, int]) -> None:
    known = store.arrivals()[1]
    files = {"sides.safetensors": lambda path: save_tensors(made, path)}
    made = {name: torch.zeros(count, dtype=torch.int8) for name, count in tensors.items()}
    opened = commit_directory(store.root / "runs", None, files, {})
    with pytest.raises(CorruptionError, match="sides of 6 rows"):
        dataclasses.replace(known, opened=lambda: opened).sides()
