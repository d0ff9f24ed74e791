"""Receive: check what arrived, split it, keep it, and fix what the run starts from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.context import Context, build_model
from headstart.lifecycle.data.duplicates import across_sides, shared
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.data.split import TRAIN, group_names, split
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.lineage import trunk
from headstart.lifecycle.memory import Pool, gather, join
from headstart.lifecycle.store import ArrivalDraft
from headstart.lifecycle.tasks.base import Schema, Task

__all__ = ["begin", "receive", "rehearse", "schema_of"]

# Rows never change sides between arrivals, so the salt is the same for every arrival of every store.
SALT = "headstart"


def receive(context: Context) -> dict[str, Any]:
    """Validates the arrival against the schema in force, splits it, and stores it.

    Returns:
        ``arrival`` (its index), ``parent`` and ``champion`` (version ids or None), ``schema``.

    Raises:
        InputError: the data are wrong; nothing was stored.
    """
    task, store, rows = context.task, context.store, context.rows
    parent = trunk(store)
    schema = task.check(rows, schema_of(store, parent)) if parent else task.infer(rows)
    if context.gate_rows is not None:
        schema = task.check(context.gate_rows, schema)
    sides = _sides(context)
    refuse_overlap(task, rows.take(np.flatnonzero(sides == TRAIN)), context.gate_rows)
    build_model(task, schema, context.seed, "receive")  # a model that fails to build fails before this counts
    champion = store.champion()
    arrival = store.add_arrival(
        ArrivalDraft(
            rows=None if context.settings.reference else rows,
            reference=context.source if context.settings.reference else None,
            digest=rows.digest(),
            sides=sides,
            note={"source": rows.source},
        )
    )
    failpoint("arrival-received")
    return begin(
        context,
        {
            "arrival": arrival.index,
            "parent": parent,
            "champion": champion.id if champion else None,
            "schema": schema.to_dict(),
        },
    )


def rehearse(context: Context) -> tuple[dict[str, Any], Pool]:
    """What an update would start from, without keeping the arrival: for a trial of starts."""
    task, store, rows = context.task, context.store, context.rows
    parent = trunk(store)
    schema = task.check(rows, schema_of(store, parent)) if parent else task.infer(rows)
    sides = _sides(context)
    known = store.arrivals()
    index = known[-1].index + 1 if known else 1
    new = Pool(rows, sides, np.full(len(rows), index))
    pool = join([gather(store, index - 1), new]) if known else new
    return {"arrival": index, "parent": parent, "champion": None, "schema": schema.to_dict()}, pool


def begin(context: Context, values: dict[str, Any]) -> dict[str, Any]:
    """Records what the run starts from, once; a run that is taken up again starts from the same."""
    known = dict(context.store.records("run")).get(context.key)
    if known is None:
        context.store.record("run", context.key, values)
        return values
    return known


def schema_of(store: Any, version: str) -> Schema:
    """The schema recorded with a version."""
    return Schema.from_dict(store.version(version).document("schema"))


def refuse_overlap(task: Task, train: Rows, gate: Rows | None) -> None:
    """Refuses a gate set of the user's own that shares rows (or groups) with what is trained on."""
    if gate is None:
        return
    pairs = (
        _shared_groups(train, gate, task.group) if task.group else shared(train, gate, ignore=[task.target])
    )
    if pairs:
        raise InputError(
            f"{_counted(pairs)} of the gate set stand in the training rows too",
            where=f"{gate.source}, rows {_numbers(theirs for _, theirs in pairs)}",
            got="the same group" if task.group else "the same values",
            fix="take these rows out of the gate set or out of the data: a gate set is never trained on",
        )


def _sides(context: Context) -> np.ndarray[Any, Any]:
    task, rows = context.task, context.rows
    sides = split(
        rows,
        fractions=context.settings.fractions,
        salt=SALT,
        group=task.group,
        ignore=(task.target,) if task.target in rows.columns else (),
    )
    _need_training_rows(sides)
    _refuse_leaks(task, rows, sides)
    return sides


def _refuse_leaks(task: Task, rows: Rows, sides: np.ndarray[Any, Any]) -> None:
    # A split by content cannot leak; one by group does where two groups hold the same row.
    if task.group is None:
        return
    pairs = across_sides(rows, sides, ignore=(task.target, task.group, *task.slices))
    if pairs:
        raise InputError(
            f"{_counted(pairs)} held out with one group are trained on in another",
            where=f"{rows.source}, rows {_numbers(held for _, held in pairs)}",
            got=f"the same values as rows {_numbers(train for train, _ in pairs)}",
            fix=f"give rows that repeat the same {task.group}, or drop the repeats",
        )


def _shared_groups(train: Rows, gate: Rows, group: str) -> list[tuple[int, int]]:
    first = {name: number for number, name in reversed(list(enumerate(group_names(train.column(group)))))}
    theirs = enumerate(group_names(gate.column(group)))
    return [(first[name], number) for number, name in theirs if name in first]


def _counted(pairs: Sequence[object]) -> str:
    return f"{len(pairs)} row{'s' if len(pairs) != 1 else ''}"


def _numbers(rows: Iterable[int]) -> str:
    found = [row + 1 for row in rows]
    return ", ".join(map(str, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _need_training_rows(sides: np.ndarray[Any, Any]) -> None:
    if not (sides == TRAIN).any():
        raise InputError(
            "no row of this arrival falls to the training side",
            where="data",
            got=f"{len(sides)} row{'s' if len(sides) != 1 else ''}",
            fix="hand in more rows at once, or a larger training share in `fractions`",
        )
