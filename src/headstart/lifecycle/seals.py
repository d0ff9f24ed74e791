"""Rows that tell when they are not what was written: each carries the digest of its values.

The files of a store have digests in their manifests. A database keeps none for its rows, and a bit
that flips in a text or in JSON goes unnoticed; so every row that is evidence is sealed when it is
written and checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from headstart.errors import CorruptionError

__all__ = ["checked", "sealed", "unharmed"]

_OUTSIDE = ("number", "seal")


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row with their seal, to be written."""
    return {**values, "seal": _seal(values)}


def unharmed(row: sa.Row[Any]) -> bool:
    """Whether a row that was read whole is what was written."""
    return bool(_seal(_values(row)) == row.seal)


def checked(row: sa.Row[Any], table: sa.Table) -> sa.Row[Any]:
    """The row, if it is what was written.

    Raises:
        CorruptionError: it is not.
    """
    found = _seal(_values(row))
    if found != row.seal:
        raise CorruptionError(
            f"row {row.number} of the database's table {table.name}",
            expected=f"sha256 {row.seal}",
            found=f"sha256 {found}",
        )
    return row


def _values(row: sa.Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in _OUTSIDE}


def _seal(values: Mapping[str, Any]) -> str:
    # Damage may have put anything into a column: bytes, where a text stood, are told by their form.
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
