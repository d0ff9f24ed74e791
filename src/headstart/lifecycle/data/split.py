"""Sides: each row falls to train, dev or gate by a salted hash of its group, once and for all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows

__all__ = ["DEV", "GATE", "TRAIN", "group_names", "split"]

TRAIN, DEV, GATE = 0, 1, 2


def split(
    rows: Rows,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    salt: str,
    group: str | None = None,
    ignore: Sequence[str] = (),
) -> np.ndarray[Any, Any]:
    """The side of each row.

    With ``u = sha256(salt, group) / 2^64`` (first 8 bytes) a row falls to the gate if u is below the
    gate share, to dev if below gate plus dev share, else to train. So rows of one group share a side,
    and a row that comes again, in whatever arrival, falls to the side it had.

    Args:
        rows: the table, n rows.
        fractions: train, dev and gate share, in [0, 1], adding to 1.
        salt: makes the assignment of one store differ from another's.
        group: column whose value keeps rows together; without it the row's content does.
        ignore: columns that are no part of the content, such as the target: equal inputs with
            different labels then share a side.

    Returns:
        (n,) int8 of TRAIN, DEV and GATE.

    Raises:
        InputError: wrong shares, no such column, or no column left after ``ignore``.
    """
    try:
        shares = [float(share) for share in fractions]
    except (TypeError, ValueError):
        shares = []
    if len(shares) != 3 or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise InputError(
            "the three shares of a split must lie in [0, 1] and add to 1",
            where="fractions",
            got=fractions,
            fix="give train, dev and gate, for example (0.8, 0.1, 0.1)",
        )
    names = [name for name in rows.columns if name not in ignore]
    if group is None and not names:
        raise InputError(
            "no column is left to tell the rows apart",
            where=rows.source,
            got=", ".join(rows.columns),
            fix="hand in columns besides the target, or name a group column",
        )
    keys = rows.row_digests(names) if group is None else group_names(rows.column(group))
    places = np.array([_place(salt, key) for key in keys])
    gate, dev = shares[2], shares[1]
    sides = np.full(len(rows), TRAIN, dtype=np.int8)
    sides[places < gate + dev] = DEV
    sides[places < gate] = GATE
    return sides


def group_names(values: np.ndarray[Any, Any]) -> list[str]:
    """Each value as text, the same for 7, 7.0 and "7": one "A7" in an arrival turns a column of numbers
    into text, and groups must not change sides for it."""
    plain = values.tolist() if values.ndim == 1 else [str(row.tolist()) for row in values]
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in plain]
    return [value.hex() if isinstance(value, bytes) else str(value) for value in whole]


def _place(salt: str, key: str) -> float:
    raw = hashlib.sha256(f"{salt}\x1f{key}".encode()).digest()
    return int.from_bytes(raw[:8], "big") / 2**64
