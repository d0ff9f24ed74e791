"""The tables of a store's database: their form is a promise to stores that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.lifecycle import database, failpoints
from headstart.lifecycle.store import Store

from .store_drafts import arrival, commit, table

# Another form needs another FORMAT. Each column: type, must have a value, place in the primary key.
TABLES: dict[str, dict[str, tuple[str, int, int]]] = {
    "headstart": {"name": ("TEXT", 1, 1), "value": ("TEXT", 0, 0)},
    "versions": {
        "number": ("INTEGER", 1, 1),
        "id": ("TEXT", 1, 0),
        "parents": ("JSON", 1, 0),
        "created": ("FLOAT", 1, 0),
        "seal": ("TEXT", 1, 0),
    },
    "aliases": {"name": ("TEXT", 1, 1), "version": ("TEXT", 1, 0), "seal": ("TEXT", 1, 0)},
    "events": {
        "number": ("INTEGER", 1, 1),
        "kind": ("TEXT", 1, 0),
        "version": ("TEXT", 1, 0),
        "previous": ("TEXT", 0, 0),
        "reason": ("TEXT", 1, 0),
        "payload": ("JSON", 1, 0),
        "created": ("FLOAT", 1, 0),
        "seal": ("TEXT", 1, 0),
    },
    "arrivals": {
        "number": ("INTEGER", 1, 1),
        "digest": ("TEXT", 1, 0),
        "folder": ("TEXT", 1, 0),
        "kept": ("BOOLEAN", 1, 0),
        "summary": ("JSON", 1, 0),
        "created": ("FLOAT", 1, 0),
        "seal": ("TEXT", 1, 0),
    },
    "records": {
        "number": ("INTEGER", 1, 1),
        "kind": ("TEXT", 1, 0),
        "key": ("TEXT", 1, 0),
        "mark": ("TEXT", 1, 0),
        "payload": ("JSON", 1, 0),
        "created": ("FLOAT", 1, 0),
        "seal": ("TEXT", 1, 0),
    },
}
UNIQUE = {"versions": ["id"], "arrivals": ["digest"], "records": ["kind", "key"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s")


def test_the_tables_are_those_of_format_2(store: Store) -> None:
    found: dict[str, Any] = {}
    unique: dict[str, list[str]] = {}
    with store._db.read() as connection:
        ask = connection.exec_driver_sql
        for name in ask("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all():
            rows = ask(f"PRAGMA table_info({name})").all()
            found[name] = {row[1]: (row[2], row[3], row[5]) for row in rows}
            for index in ask(f"PRAGMA index_list({name})").all():
                if index[2] and index[3] == "u":
                    unique[name] = [row[2] for row in ask(f"PRAGMA index_info({index[1]})").all()]
        assert ask("SELECT name, value FROM headstart").all() == [("format", "2")]
    assert (database.FORMAT, found, unique) == (2, TABLES, UNIQUE)


def test_every_named_point_of_the_store_is_passed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_FAILPOINT", "none")
    monkeypatch.setattr(failpoints, "passes", type(failpoints.passes)())
    first, kept = commit(store, 1.0), store.add_arrival(arrival(table()))
    written = {"files-written", "before-rename", "after-rename", "before-row", "after-row"}
    assert failpoints.passes == dict.fromkeys(written, 2)
    failpoints.passes.clear()
    store.promote(first.id, expected=None, reason="first")
    store.record("seen", "x", {})
    store.forget(kept.index)
    points = {"before-promotion", "after-promotion", "before-record", "after-record", "before-removal"}
    assert failpoints.passes == dict.fromkeys(points, 1)
