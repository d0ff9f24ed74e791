"""The log of decisions and the evidence: rows that are added and never changed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from headstart.errors import CorruptionError, StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import as_json
from headstart.lifecycle.database import Database
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.seals import checked, insert, next_number, refuse_gaps, seal_of
from headstart.lifecycle.version import Event

__all__ = ["append", "events", "record", "records"]


def append(
    connection: Connection,
    kind: str,
    version: str,
    *,
    previous: str | None = None,
    reason: str,
    payload: Mapping[str, Any],
) -> Event:
    """Adds an event to the log, within the caller's transaction.

    Raises:
        InputError: reason or payload are not JSON.
    """
    as_json(reason, "reason")
    row = {
        "kind": kind,
        "version": version,
        "previous": previous,
        "reason": reason,
        "payload": json.loads(as_json(payload, f"payload of {kind}")),
        "created": time.time(),
    }
    return Event(number=insert(connection, db.events, row), **row)


def events(database: Database) -> list[Event]:
    """Every event, oldest first.

    Raises:
        CorruptionError: a row is gone, or is not what was written.
    """
    with database.read() as connection:
        rows = connection.execute(sa.select(db.events).order_by(db.events.c.number)).all()
    refuse_gaps(db.events, [row.number for row in rows])
    names = [item.name for item in fields(Event)]
    return [Event(**{name: getattr(checked(row, db.events), name) for name in names}) for row in rows]


def record(database: Database, kind: str, key: str, payload: Mapping[str, Any]) -> None:
    """Writes a piece of evidence, once.

    Raises:
        InputError: the payload is not JSON.
        StoreError: another payload stands under this kind and key.
        CorruptionError: the row that is there is not what was written.
    """
    value = json.loads(as_json(payload, f"record {kind}"))
    failpoint("before-record")
    with database.write() as connection:
        where = (db.records.c.kind == kind) & (db.records.c.key == key)
        known = connection.execute(sa.select(db.records).where(where)).first()
        if known is None:
            mark = _mark(next_number(connection, db.records), kind, key)
            row = {"kind": kind, "key": key, "mark": mark, "payload": value, "created": time.time()}
            insert(connection, db.records, row)
        elif checked(known, db.records).payload != value:
            raise StoreError(
                "other evidence stands under this name",
                where=f"record {kind}/{key}",
                got="a different payload",
                fix="evidence is never changed; use another key",
            )
    failpoint("after-record")


def records(database: Database, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """All evidence of a kind: (key, payload), oldest first.

    Raises:
        CorruptionError: a row is gone, or is not what was written.
    """
    with database.read() as connection:
        _refuse_moved(connection)
        # Joined to nothing, the kind is looked up in the rows, not in an index, which may be damaged.
        query = sa.select(db.records).where(db.records.c.kind.concat("") == kind)
        rows = connection.execute(query.order_by(db.records.c.number)).all()
    return [(row.key, row.payload) for row in (checked(row, db.records) for row in rows)]


def _refuse_moved(connection: Connection) -> None:
    """A row that is gone, or whose kind or key was changed, would be missed by nobody: every row's mark is
    checked, payloads unread."""
    columns = [db.records.c[name] for name in ("number", "kind", "key", "mark")]
    rows = connection.execute(sa.select(*columns).order_by(db.records.c.number)).all()
    refuse_gaps(db.records, [row.number for row in rows])
    for row in rows:
        found = _mark(row.number, row.kind, row.key)
        if found != row.mark:
            place = f"row {row.number} of the database's table records"
            raise CorruptionError(place, expected=f"sha256 {row.mark}", found=f"sha256 {found}")


def _mark(number: int, kind: str, key: str) -> str:
    return seal_of({"number": number, "kind": kind, "key": key})
