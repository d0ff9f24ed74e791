"""Several processes write to one store at the same time, some of them killed: nothing lost, one order."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.reliability import writers
from benchmarks.reliability._campaign import Setting, Tally
from headstart.lifecycle import database as db
from headstart.lifecycle import seals
from headstart.lifecycle.store import Store
from tests.lifecycle.store.store_drafts import commit


@pytest.mark.parametrize(
    "kind",
    [
        "SQLite",
        pytest.param(
            "PostgreSQL",
            marks=pytest.mark.skipif(
                writers.POSTGRES not in os.environ, reason=f"{writers.POSTGRES} gives no database URL"
            ),
        ),
    ],
)
def test_many_writers_lose_nothing(tmp_path: Path, kind: str) -> None:
    tally = Tally()
    counts = writers.rounds(kind, Setting(folder=tmp_path), tally)
    assert tally.broken == [] and counts == {"kills": 4, "database is locked": 0}
    for name in ("live", "killed"):
        assert tally.cases[f"{kind}, {name}: promotions"] == 60  # a killed writer goes on where it was


def test_what_is_lost_or_out_of_order_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    first, second = commit(store, 1.0), commit(store, 2.0)
    store.promote(first.id, expected=None, reason="0/0")
    store.promote(second.id, expected=first.id, reason="0/1")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "0").write_text(f"c {first.id}\np {first.id}\nc {'0' * 16}\n")
    (tmp_path / "notes" / "0.error").write_text("database is locked")
    crowd = writers.Crowd(
        location=str(store.root),
        artifacts=None,
        notes=str(tmp_path / "notes"),
        processes=1,
        commits=2,
        kills=0,
        flush=False,
        seed=0,
    )
    tally = Tally()
    assert writers._check(crowd, "s", tally) == "database is locked"
    assert [text.partition(":")[2].split(":")[0].strip() for text in tally.broken] == [
        "writers end well",
        "commits",
        "sums",
    ]
    with store._db.write() as connection:
        values = seals.sealed({"name": "champion", "version": first.id})
        connection.execute(sa.update(db.aliases).values(**values))
    assert "champion" in str(writers._disorder(store.log(), store.champion_id(), second.id))
    log = [replace(event, previous=None) for event in store.log()]
    assert "saw None" in str(writers._disorder(log, second.id, second.id))
