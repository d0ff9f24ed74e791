"""Store.verify lists every kind of damage and never raises for it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from headstart.errors import CorruptionError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import commit_directory
from headstart.lifecycle.data.read import read
from headstart.lifecycle.store import ArrivalDraft, Store

from .store_drafts import arrival, commit, table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "s")
    first = commit(store, 1.0)
    second = commit(store, 2.0, first.id)
    store.promote(first.id, expected=None, reason="")
    store.promote(second.id, expected=first.id, reason="")
    store.add_arrival(arrival(table()))
    csv = tmp_path / "rows.csv"
    csv.write_text("x,y\n1,2\n3,4\n")
    rows = read(csv)
    sides = np.zeros(len(rows), dtype=np.int8)
    store.add_arrival(ArrivalDraft(reference=str(csv), digest=rows.digest(), sides=sides))
    store.record("seen", "x", {"a": 1})
    return store


def newest(store: Store) -> Path:
    return store.versions()[-1].path


def sql(store: Store, statement: object) -> None:
    with store._db.write() as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def swap(store: Store) -> None:
    shutil.copy(store.versions()[0].path / "model.safetensors", newest(store) / "model.safetensors")


def link(store: Store) -> None:
    path = newest(store) / "plan.json"
    path.rename(store.root / "plan.json")
    path.symlink_to(store.root / "plan.json")


def overwrite(path: Path) -> None:
    """The rows' pages, not the schema's: the store still opens."""
    with sqlite3.connect(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        page = connection.execute("select rootpage from sqlite_master where name = 'events'").fetchone()[0]
    connection.close()
    raw = bytearray(path.read_bytes())
    raw[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
    path.write_bytes(raw)


def forge(store: Store) -> None:
    """A manifest that is consistent with changed files, but is not what the version's id says."""
    path = newest(store)
    (path / "plan.json").write_bytes(b"{}")
    for file in (path / "manifest.json", store.places.versions / "x"):
        file.unlink(missing_ok=True)
    files = {f.name: f.read_bytes() for f in path.iterdir()}
    made = commit_directory(store.places.versions, "x", files, {"kind": "version", "parents": []})  # type: ignore[arg-type]
    (made.path / "manifest.json").rename(path / "manifest.json")
    shutil.rmtree(made.path)


def copy_of(store: Store) -> Path:
    return next(p for p in store.places.arrivals.iterdir() if (p / "rows.safetensors").exists())


DAMAGE: dict[str, tuple[str, Callable[[Store], object]]] = {
    "a file changed": ("changed", lambda s: append(newest(s) / "plan.json")),
    "a file swapped": ("changed", swap),
    "a file missing": ("cannot be read", lambda s: (newest(s) / "plan.json").unlink()),
    "a file a link": ("cannot be read", link),
    "a file too many": ("does not belong", lambda s: (newest(s) / "extra").touch()),
    "a manifest cut": ("manifest is damaged", lambda s: os.truncate(newest(s) / "manifest.json", 9)),
    "a manifest forged": ("manifest is damaged", forge),
    "a version missing": ("missing", lambda s: shutil.rmtree(newest(s))),
    "a stranger": ("does not belong", lambda s: (s.places.versions / "stray.txt").touch()),
    "an empty folder": ("does not belong", lambda s: (s.places.versions / "0123456789abcdef").mkdir()),
    "parents changed": ("parents differ", lambda s: sql(s, sa.update(db.versions).values(parents=["x"]))),
    "a parent gone": (
        "a parent is unknown",
        lambda s: sql(s, sa.delete(db.versions).where(db.versions.c.number == 1)),
    ),
    "the alias changed": ("the log leads to", lambda s: sql(s, sa.update(db.aliases).values(version="x"))),
    "the alias gone": ("the log leads to", lambda s: sql(s, sa.delete(db.aliases))),
    "an arrival changed": ("changed", lambda s: append(copy_of(s) / "rows.safetensors")),
    "an arrival missing": ("missing", lambda s: shutil.rmtree(copy_of(s))),
    "an arrival renamed": (
        "match its digest",
        lambda s: sql(s, sa.update(db.arrivals).where(db.arrivals.c.number == 1).values(digest="x")),
    ),
    "a reason changed": ("match its digest", lambda s: sql(s, sa.update(db.events).values(reason="luck"))),
    "evidence changed": ("match its digest", lambda s: sql(s, sa.update(db.records).values(payload={}))),
    "evidence no JSON": ("refused", lambda s: sql(s, sa.text("update records set payload = '{'"))),
    "a decision gone": (
        "a row is missing",
        lambda s: sql(s, sa.delete(db.events).where(db.events.c.number == 1)),
    ),
    "the order changed": (
        "match its digest",
        lambda s: sql(s, sa.update(db.events).where(db.events.c.number == 1).values(number=3)),
    ),
    "a time changed": ("match its digest", lambda s: sql(s, sa.update(db.versions).values(created=1.0))),
    "an arrival out of the store": (
        "match its digest",
        lambda s: sql(s, sa.update(db.arrivals).values(folder="../../x", kept=False)),
    ),
    "a page of the database": ("", lambda s: overwrite(s.root / "store.db")),
    "a source changed": ("another digest", lambda s: append(s.root.parent / "rows.csv")),
    "a source gone": ("", lambda s: (s.root.parent / "rows.csv").unlink()),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_listed(store: Store, name: str) -> None:
    assert store.verify() == []
    words, harm = DAMAGE[name]
    if name == "a source changed":
        (store.root.parent / "rows.csv").write_text("x,y\n1,2\n3,5\n")
    else:
        harm(store)
    problems = Store(store.root).verify()
    assert problems and any(words in problem.what for problem in problems)
    for problem in problems:
        assert all(problem.to_dict()[key] for key in ("what", "file", "expected", "found"))
        assert json.dumps(problem.to_dict())


def test_what_a_killed_commit_leaves_is_no_damage(store: Store) -> None:
    other = Store(store.root.parent / "other")
    version = commit(other, 7.0)
    shutil.copytree(version.path, store.places.versions / version.id)
    (store.places.versions / ".tmp-ffffffff-1-a").mkdir()
    assert store.verify() == []
    assert commit(store, 7.0).id == version.id and len(store.versions()) == 3


def test_an_error_names_the_file_the_digests_and_the_last_good_version(store: Store) -> None:
    first, second = store.versions()
    assert store.last_good() == second.id
    path = second.path / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptionError) as caught:
        second.weights()
    error = caught.value
    assert error.file == str(path) and error.last_good == first.id == store.last_good()
    assert second.manifest["files"]["model.safetensors"]["sha256"] in error.expected
    assert {p.last_good for p in store.verify()} == {first.id}
    (first.path / "manifest.json").unlink()
    with pytest.raises(CorruptionError) as caught:
        store.versions()
    assert caught.value.last_good is None and store.last_good() is None
    assert store.champion_id() == second.id and len(store.log()) == 2  # still readable


def test_rollback_works_when_the_champion_or_the_log_is_damaged(store: Store) -> None:
    first, second = store.versions()
    (second.path / "model.safetensors").write_bytes(b"")
    sql(store, sa.update(db.aliases).values(version="0" * 16))
    with pytest.raises(CorruptionError) as caught:
        store.rollback()  # the log leads to the version whose file is empty
    assert caught.value.last_good == first.id
    with pytest.raises(CorruptionError, match="table aliases"):
        store.champion_id()
    assert store.rollback(to=first.id).id == store.champion_id() == first.id
    sql(store, sa.delete(db.aliases))
    with pytest.raises(CorruptionError, match="found none"):
        store.champion()
    assert store.rollback(to=first.id).id == store.champion_id() == first.id
    sql(store, sa.update(db.events).values(reason="luck"))
    with pytest.raises(CorruptionError, match="table events"):
        store.log()
    assert store.champion_id() == first.id and store.champion() is not None


@pytest.mark.parametrize("change", [{"kind": "sean"}, {"key": "y"}, {"mark": "0" * 64}])
def test_evidence_that_was_moved_is_missed(store: Store, change: dict[str, str]) -> None:
    store.record("other", "x", {})
    sql(store, sa.update(db.records).where(db.records.c.number == 1).values(**change))
    for kind in ("seen", "other"):
        with pytest.raises(CorruptionError, match="row 1 of the database's table records"):
            store.records(kind)


def test_nothing_is_removed_on_the_word_of_a_damaged_row(store: Store) -> None:
    copy = copy_of(store)
    sql(store, sa.update(db.arrivals).values(kept=False))
    assert Store(store.root).verify() and copy.is_dir()
