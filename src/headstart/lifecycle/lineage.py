"""Lineage: who is in service, who was before, and what the next arrival continues from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from headstart.errors import CorruptionError, StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.database import Database
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.records import append
from headstart.lifecycle.seals import checked, sealed
from headstart.lifecycle.version import Event

if TYPE_CHECKING:
    from headstart.lifecycle.store import Store

__all__ = ["alias", "champion_id", "champions", "move", "replay", "trunk"]

_CHAMPION = db.aliases.c.name == "champion"


def trunk(store: Store) -> str | None:
    """The version the next run continues from: the newest that was not rejected, or None.

    A candidate that was held is still the best start there is. After a rollback it is the champion
    that was put back.
    """
    newest: str | None = None
    for event in store.log():
        if event.kind in ("promote", "rollback", "hold"):
            newest = event.version
    return newest


def replay(store: Store) -> str | None:
    """The champion that the log of promotions and rollbacks leads to."""
    line = champions(store.log())
    return line[-1] if line else None


def champions(log: Sequence[Event]) -> list[str]:
    """The champions that led to the present one, oldest first; a rollback takes back those it undid.

    A version that is put in service by a rollback without having been there before comes on top.
    """
    line: list[str] = []
    for event in log:
        if event.kind == "rollback" and event.version in line:
            while line[-1] != event.version:
                line.pop()
        elif event.kind in ("promote", "rollback"):
            line.append(event.version)
    return line


def champion_id(database: Database) -> str | None:
    """Id of the version in service.

    Raises:
        CorruptionError: the alias is not what was written, or is gone.
    """
    with database.read() as connection:
        row = connection.execute(sa.select(db.aliases).where(_CHAMPION)).first()
        if row is not None:
            return str(checked(row, db.aliases).version)
        moves = db.events.c.kind.in_(("promote", "rollback"))
        if connection.execute(sa.select(db.events.c.number).where(moves)).first():
            raise CorruptionError("the database's table aliases", expected="the champion", found="none")
    return None


def alias(database: Database) -> str | None:
    """What the alias says, right or wrong: what a rollback out of damage compares with."""
    with database.read() as connection:
        name: str | None = connection.execute(sa.select(db.aliases.c.version).where(_CHAMPION)).scalar()
    return name


def move(
    database: Database,
    kind: str,
    version: str,
    expected: str | None,
    *,
    reason: str,
    payload: Mapping[str, Any],
) -> Event:
    """Puts a version in service if the champion is the expected one, with its event, in one transaction.

    Raises:
        StoreError: the champion is another one; nothing changed.
    """
    with database.write() as connection:
        # The transaction holds the write lock from its beginning: nothing moves between look and change.
        present = connection.execute(sa.select(db.aliases.c.version).where(_CHAMPION)).scalar()
        if present != expected:
            raise StoreError(
                "the champion is another one by now",
                where=f"store {database.place}",
                got=f"expected {expected or 'none'}, found {present or 'none'}",
                fix="look at `headstart log` and decide again",
            )
        champion = sealed({"name": "champion", "version": version})
        if present is None:
            connection.execute(db.aliases.insert().values(**champion))
        else:
            connection.execute(db.aliases.update().where(_CHAMPION).values(**champion))
        failpoint("before-promotion")
        event = append(connection, kind, version, previous=expected, reason=reason, payload=payload)
    failpoint("after-promotion")
    return event
