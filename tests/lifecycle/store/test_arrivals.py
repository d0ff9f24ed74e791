"""Arrivals: copies and references, handed in twice, forgotten for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle import arrivals
from headstart.lifecycle.data.read import read
from headstart.lifecycle.store import ArrivalDraft, Store

from .store_drafts import arrival, table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s")


def test_an_arrival_comes_back_as_it_was_handed_in(store: Store) -> None:
    rows, more = table(7), table(4, seed=1)
    made = store.add_arrival(arrival(rows, source="a.csv"))
    assert (made.index, made.digest, made.count, made.kept) == (1, rows.digest(), 7, True)
    assert made.counts == {"train": 3, "dev": 2, "gate": 2} and made.note == {"source": "a.csv"}
    assert store.add_arrival(arrival(more)).index == 2
    found = Store(store.root).arrivals()
    assert [a.index for a in found] == [1, 2] and found[0] == made
    assert found[0].rows().digest() == rows.digest()
    sides = found[0].sides()
    assert sides.dtype == np.int8 and sides.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_the_same_rows_are_one_arrival(store: Store) -> None:
    first = store.add_arrival(arrival(table(), source="a"))
    assert store.add_arrival(arrival(table(), source="b")) == first
    assert len(store.arrivals()) == 1 and len(list(store.places.arrivals.iterdir())) == 1


def test_a_draft_that_contradicts_itself_is_refused(store: Store) -> None:
    rows = table(3)
    good = np.zeros(3, dtype=np.int8)
    drafts = [
        ArrivalDraft(rows=rows, digest="d", sides=good[:2]),
        ArrivalDraft(rows=rows, digest="d", sides=good.astype(np.int64)),
        ArrivalDraft(rows=rows, digest="d", sides=good + np.int8(3)),
        ArrivalDraft(digest="d", sides=good),
        ArrivalDraft(rows=rows, reference="a.csv", digest="d", sides=good),
    ]
    for draft in drafts:
        with pytest.raises(InputError):
            store.add_arrival(draft)
    assert store.arrivals() == [] and not list(store.places.arrivals.iterdir())


def test_a_reference_is_read_again_and_compared(store: Store, tmp_path: Path) -> None:
    csv = tmp_path / "rows.csv"
    csv.write_text("x,y\n1,a\n2,b\n")
    rows = read(csv)
    draft = ArrivalDraft(reference=str(csv), digest=rows.digest(), sides=np.zeros(2, dtype=np.int8))
    made = store.add_arrival(draft)
    assert made.rows().digest() == rows.digest() and len(made.sides()) == 2
    assert not list(store.places.arrivals.rglob("rows.safetensors"))
    csv.write_text("x,y\n1,a\n2,c\n")
    with pytest.raises(StoreError, match="another digest"):
        made.rows()


def test_what_is_forgotten_is_gone_but_known(store: Store) -> None:
    rows = table()
    store.add_arrival(arrival(table(3, seed=9)))
    made = store.add_arrival(arrival(rows, source="a"))
    folder = made.opened().path
    store.forget(2)
    store.forget(2)
    assert not folder.exists() and len(list(store.places.arrivals.iterdir())) == 1
    gone = Store(store.root).arrivals()[1]
    assert (gone.kept, gone.digest, gone.count) == (False, made.digest, 6)
    assert gone.counts == made.counts and gone.note == made.note
    for reads in (gone.rows, gone.sides):
        with pytest.raises(StoreError, match="forgotten"):
            reads()
    assert store.verify() == []
    back = store.add_arrival(arrival(rows, source="a"))
    assert back == made and back.rows().digest() == rows.digest() and store.verify() == []
    for wrong in (0, 3, -1):
        with pytest.raises(InputError, match="no such arrival"):
            store.forget(wrong)
    assert all(a.kept for a in store.arrivals())


def test_what_is_forgotten_is_gone_even_if_the_database_is_full_by_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_arrival(arrival(table()))
    change = arrivals.change

    def full(*words: Any, **values: Any) -> None:
        if "folder" in values:
            raise StoreError("the store's database refused", where="store", got="full", fix="free some space")
        change(*words, **values)

    monkeypatch.setattr(arrivals, "change", full)
    with pytest.raises(StoreError, match="full"):
        store.forget(1)
    assert list(store.places.arrivals.iterdir()) == []
    monkeypatch.undo()
    assert not Store(store.root).arrivals()[0].kept and store.verify() == []


def test_a_copy_that_finds_no_space_is_a_clear_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(StoreError, match=r"cannot be written .* No space left .* fix: check the space"):
        store.add_arrival(arrival(table()))
    assert list(store.places.arrivals.iterdir()) == [] and store.arrivals() == []


def test_a_damaged_copy_is_an_error_when_read_and_hides_no_other(store: Store) -> None:
    made, other = store.add_arrival(arrival(table())), store.add_arrival(arrival(table(seed=1)))
    folder = made.opened().path
    raw = bytearray((folder / "rows.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "rows.safetensors").write_bytes(raw)
    with pytest.raises(CorruptionError):
        made.rows()
    (folder / "manifest.json").unlink()
    with pytest.raises(CorruptionError):
        made.sides()
    assert store.arrivals()[1].rows().digest() == other.digest


def test_copies_are_for_whoever_may_read_other_files_there(store: Store) -> None:
    folder = store.add_arrival(arrival(table())).opened().path
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
