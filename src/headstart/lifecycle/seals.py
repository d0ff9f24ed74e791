"""Rows that tell when they are not what was written: each carries its number and the digest of its values.

The files of a store have digests in their manifests. A database keeps none for its rows, and a bit
that flips in a text or in JSON goes unnoticed; so every row that is evidence is sealed when it is
written and checked when it is read. Numbers run from 1 without a gap: a row that is gone is missed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from headstart.errors import CorruptionError

__all__ = ["change", "checked", "insert", "next_number", "refuse_gaps", "seal_of", "sealed", "unharmed"]


def insert(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> int:
    """Adds a row, sealed, and returns its number. The transaction must hold the write lock."""
    row = {"number": next_number(connection, table), **values}
    connection.execute(table.insert().values(**row, seal=seal_of(row)))
    return int(row["number"])


def next_number(connection: Connection, table: sa.Table) -> int:
    """The number that the next row gets."""
    return int(connection.execute(sa.select(sa.func.max(table.c.number))).scalar() or 0) + 1


def change(connection: Connection, table: sa.Table, row: sa.Row[Any], **values: Any) -> None:
    """Writes a row that was read whole anew, with some values changed, and sealed."""
    whole = {**_values(row), **values}
    where = table.c.number == row.number
    connection.execute(table.update().where(where).values(**whole, seal=seal_of(whole)))


def refuse_gaps(table: sa.Table, numbers: Sequence[int]) -> None:
    """Refuses rows, read in their order, of which one is gone; the last one is missed by nobody.

    Raises:
        CorruptionError: the numbers do not run from 1 without a gap.
    """
    for wanted, number in enumerate(numbers, start=1):
        if number != wanted:
            place = f"the database's table {table.name}"
            raise CorruptionError(place, expected=f"row {wanted}", found=f"{len(numbers)} other rows")


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row without a number, with their seal."""
    return {**values, "seal": seal_of(values)}


def unharmed(row: sa.Row[Any]) -> bool:
    """Whether a row that was read whole is what was written."""
    return bool(seal_of(_values(row)) == row.seal)


def checked(row: sa.Row[Any], table: sa.Table) -> sa.Row[Any]:
    """The row, if it is what was written.

    Raises:
        CorruptionError: it is not.
    """
    found = seal_of(_values(row))
    if found != row.seal:
        raise CorruptionError(
            f"row {row[0]} of the database's table {table.name}",
            expected=f"sha256 {row.seal}",
            found=f"sha256 {found}",
        )
    return row


def _values(row: sa.Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "seal"}


def seal_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of a row's values."""
    # Damage may have put anything into a column: bytes, where a text stood, are told by their form.
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
