"""Arrivals: batches of data that came, kept as copies or by reference, and forgotten for good."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import Opened, Writer, commit_directory, open_directory
from headstart.lifecycle.data.rows import Rows, load_rows, save_rows
from headstart.lifecycle.data.split import DEV, GATE, TRAIN
from headstart.lifecycle.database import Database
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.places import Places
from headstart.lifecycle.seals import change, checked, insert, refuse_gaps, unharmed
from headstart.lifecycle.tensors import load_tensors, save_tensors
from headstart.lifecycle.version import naming_last_good

__all__ = ["Arrival", "ArrivalDraft", "add", "finish_removals", "forget", "listed", "open_arrival"]

_SIDES = {"train": TRAIN, "dev": DEV, "gate": GATE}
_SUMMARY = ("count", "counts", "note")


@dataclass(frozen=True, kw_only=True)
class ArrivalDraft:
    """An arrival to be stored: a copy of its rows, or a reference to where they stay.

    Attributes:
        digest: SHA-256 of the rows, ``rows.digest()``.
        sides: (n,) int8: the side of each row, see :mod:`headstart.lifecycle.data.split`.
        rows: the rows, to keep a copy of.
        reference: a path that :func:`headstart.read` takes, when no copy is kept.
        note: JSON values said of it.
    """

    digest: str
    sides: np.ndarray[Any, Any]
    rows: Rows | None = None
    reference: str | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrival:
    """One batch of data that came.

    Attributes:
        index: its number, from 1.
        digest: SHA-256 of its rows.
        count: how many rows.
        counts: rows on each side: train, dev, gate.
        kept: whether its rows can still be read.
        note: what was said of it when it came.
        opened: gives its folder; raises when that is missing or damaged.
        last_good: finds the newest version that verifies, for messages.
    """

    index: int
    digest: str
    count: int
    counts: Mapping[str, int]
    kept: bool
    note: Mapping[str, Any]
    opened: Callable[[], Opened] = field(repr=False, compare=False)
    last_good: Callable[[], str | None] = field(repr=False, compare=False)

    def rows(self) -> Rows:
        """Its rows, checked against the digest.

        Raises:
            CorruptionError: the copy is not what was committed.
            StoreError: forgotten, or the data it refers to changed.
        """
        with naming_last_good(self.last_good):
            opened = self._opened()
            reference = opened.manifest["reference"]
            if reference is None:
                return load_rows(opened.file("rows.safetensors"))
        from headstart.lifecycle.data.read import read

        rows = read(reference)
        if rows.digest() != self.digest:
            raise StoreError(
                "the data an arrival refers to have another digest now",
                where=f"arrival {self.index}, {reference}",
                got=f"expected {self.digest[:16]}, found {rows.digest()[:16]}",
                fix="put the file back as it was, or keep copies (reference = false)",
            )
        return rows

    def sides(self) -> np.ndarray[Any, Any]:
        """(n,) int8: the side of each row.

        Raises:
            CorruptionError: the copy is not what was committed.
            StoreError: forgotten.
        """
        with naming_last_good(self.last_good):
            path = self._opened().file("sides.safetensors")
            tensors = load_tensors(path)
            if list(tensors) != ["sides"] or tensors["sides"].shape != (self.count,):
                found = {name: list(value.shape) for name, value in tensors.items()}
                raise CorruptionError(str(path), expected=f"sides of {self.count} rows", found=str(found))
        return tensors["sides"].numpy().astype(np.int8)

    def _opened(self) -> Opened:
        if not self.kept:
            raise StoreError(
                "this arrival was forgotten",
                where=f"arrival {self.index}",
                got=f"digest {self.digest[:16]}",
                fix="its digest stays in lineage; hand its data in again if they are needed",
            )
        return self.opened()


def open_arrival(places: Places, folder: str) -> Opened:
    """The folder of an arrival, fetched if it is not here, its manifest checked against its name."""
    return open_directory(places.fetch(places.arrival(folder)), folder)


def listed(database: Database, places: Places, last_good: Callable[[], str | None]) -> list[Arrival]:
    """All arrivals, in order of time. Their files are not touched.

    Raises:
        CorruptionError: a row is gone, or is not what was written.
    """
    with database.read() as connection:
        rows = connection.execute(sa.select(db.arrivals).order_by(db.arrivals.c.number)).all()
    refuse_gaps(db.arrivals, [row.number for row in rows])
    return [
        Arrival(
            index=index,
            digest=row.digest,
            count=row.summary["count"],
            counts=row.summary["counts"],
            kept=row.kept,
            note=row.summary["note"],
            opened=functools.partial(open_arrival, places, row.folder),
            last_good=last_good,
        )
        for index, row in enumerate((checked(row, db.arrivals) for row in rows), start=1)
    ]


def add(database: Database, places: Places, draft: ArrivalDraft) -> None:
    """Stores an arrival, unless one of this digest is kept already."""
    files, head = _content(draft)
    where = db.arrivals.c.digest == draft.digest
    kept = sa.select(db.arrivals.c.kept).where(where)
    with database.read() as connection:
        if connection.execute(kept).scalar():
            return
    opened = commit_directory(places.arrivals, None, files, head)
    places.upload(opened.path)
    with database.write() as connection:
        failpoint("before-row")
        if not opened.path.is_dir():  # an earlier copy, which was just being removed
            commit_directory(places.arrivals, None, files, head)
        places.upload(opened.path)
        row = {
            "digest": draft.digest,
            "folder": opened.path.name,
            "kept": True,
            "summary": {name: opened.manifest[name] for name in _SUMMARY},
            "created": time.time(),
        }
        known = connection.execute(sa.select(db.arrivals).where(where)).first()
        if known is None:
            insert(connection, db.arrivals, row)
        elif not checked(known, db.arrivals).kept:
            change(connection, db.arrivals, known, **row)
    failpoint("after-row")


def forget(database: Database, places: Places, arrival: Arrival) -> None:
    """Removes the copy of an arrival for good; its row, digest and counts stay."""
    with database.write() as connection:
        row = connection.execute(sa.select(db.arrivals).where(db.arrivals.c.digest == arrival.digest)).one()
        change(connection, db.arrivals, checked(row, db.arrivals), kept=False)
    failpoint("before-removal")
    finish_removals(database, places)


def finish_removals(database: Database, places: Places) -> None:
    """Removes the copies of forgotten arrivals that are still there."""
    pending = (~db.arrivals.c.kept) & (db.arrivals.c.folder != "")
    query = sa.select(db.arrivals).where(pending)
    with database.read() as connection:
        if not connection.execute(query).first():
            return
    hidden = []
    try:
        # Under the write lock, so that nobody hands the same data in meanwhile and loses them.
        with database.write() as connection:
            for row in connection.execute(query).all():
                if not unharmed(row):
                    continue  # nothing is removed on the word of a damaged row; verify() lists it
                path = places.arrival(row.folder)
                hidden.append(places.hide(path))
                if places.remote:
                    places.remote.remove(path)
                change(connection, db.arrivals, row, folder="")
    finally:
        # They are forgotten already: even if the database is full now, their space is given back.
        for gone in hidden:
            if gone is not None:
                places.remove(gone)


def _content(draft: ArrivalDraft) -> tuple[dict[str, Writer], dict[str, Any]]:
    sides = np.asarray(draft.sides)
    if sides.dtype != np.int8 or sides.ndim != 1 or not np.isin(sides, list(_SIDES.values())).all():
        raise InputError(
            "the sides of an arrival are not what they should be",
            where="ArrivalDraft.sides",
            got=f"{sides.dtype}, shape {list(sides.shape)}",
            fix="give one int8 for each row: 0 train, 1 dev, 2 gate",
        )
    if (draft.rows is None) == (draft.reference is None):
        raise InputError(
            "an arrival is either kept as a copy or referred to",
            where="ArrivalDraft",
            got="both" if draft.rows is not None else "neither",
            fix="give rows=, or reference=",
        )
    if draft.rows is not None and len(draft.rows) != len(sides):
        raise InputError(
            "an arrival needs a side for each row",
            where="ArrivalDraft.sides",
            got=f"{len(sides)} sides for {len(draft.rows)} rows",
            fix="give what split() returns for these rows",
        )
    tensor = torch.from_numpy(np.ascontiguousarray(sides))
    files: dict[str, Writer] = {"sides.safetensors": lambda path: save_tensors({"sides": tensor}, path)}
    if draft.rows is not None:
        rows = draft.rows
        files["rows.safetensors"] = lambda path: save_rows(rows, path)
    return files, {
        "kind": "arrival",
        "digest": draft.digest,
        "count": len(sides),
        "counts": {name: int(np.sum(sides == side)) for name, side in _SIDES.items()},
        "reference": draft.reference,
        "note": dict(draft.note),
    }
