"""Rows that stand twice: on two sides of a split, or in a gate set and in the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.data.split import TRAIN

__all__ = ["across_sides", "shared"]


def across_sides(
    rows: Rows, sides: np.ndarray[Any, Any], *, ignore: Sequence[str] = ()
) -> list[tuple[int, int]]:
    """Held-out rows whose content is trained on too.

    A split by content has none. A split by a group column has them where groups share rows.

    Args:
        rows: the table, n rows.
        sides: (n,) the side of each row.
        ignore: columns that are no part of the content, such as the target and the group.

    Returns:
        For each such dev or gate row, in order: the number (from 0) of the first training row with
        its content, and its own.

    Raises:
        InputError: not one side for each row, or no column left.
    """
    sides = np.asarray(sides)
    if sides.shape != (len(rows),):
        raise InputError(
            "there is not one side for each row",
            where=rows.source,
            got=f"sides of shape {list(sides.shape)}, {len(rows)} rows",
            fix="give the sides that `split` returned for these rows",
        )
    train, held = np.flatnonzero(sides == TRAIN), np.flatnonzero(sides != TRAIN)
    pairs = shared(rows.take(train), rows.take(held), ignore=ignore)
    return [(int(train[ours]), int(held[theirs])) for ours, theirs in pairs]


def shared(train: Rows, gate: Rows, *, ignore: Sequence[str] = ()) -> list[tuple[int, int]]:
    """Rows of a gate set whose content is trained on.

    Args:
        train: what is trained on.
        gate: the gate set; its columns that are not ignored must be in ``train`` too.
        ignore: columns that are no part of the content, such as the target.

    Returns:
        For each such gate row, in order: the number (from 0) of the first training row with its
        content, and its own.

    Raises:
        InputError: ``train`` lacks a column of the gate set, or no column is left.
    """
    names = _names(gate, ignore)
    if len(train) == 0 or len(gate) == 0:
        return []
    first: dict[str, int] = {}
    for number, digest in enumerate(train.row_digests(names)):
        first.setdefault(digest, number)
    theirs = enumerate(gate.row_digests(names))
    return [(first[digest], number) for number, digest in theirs if digest in first]


def _names(rows: Rows, ignore: Sequence[str]) -> list[str]:
    names = [name for name in rows.columns if name not in ignore]
    if not names:
        raise InputError(
            "no column is left to tell rows apart",
            where=rows.source,
            got=f"all of {', '.join(rows.columns)} ignored",
            fix="ignore only the target and the group",
        )
    return names
