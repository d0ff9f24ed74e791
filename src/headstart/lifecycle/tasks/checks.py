"""Checks that all tasks share: columns, targets, classes. Every failure names rows and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks.base import Schema

__all__ = [
    "check_columns",
    "class_targets",
    "first_classes",
    "later_classes",
    "places",
    "texts",
    "unknown_options",
]

Array = np.ndarray[Any, Any]


def places(mask: Array) -> str:
    """Row numbers (from 1) where a mask is true: the first five, and how many in all."""
    rows = np.flatnonzero(mask) + 1
    text = ", ".join(str(row) for row in rows[:5])
    return f"row{'s' if len(rows) > 1 else ''} {text}{f' and {len(rows) - 5} more' if len(rows) > 5 else ''}"


def check_columns(rows: Rows, wanted: Sequence[str], *, known: Sequence[str] | None = None) -> None:
    """Refuses tables without rows, missing columns, and with ``known`` also columns that no one knows.

    Raises:
        InputError: names the columns.
    """
    if not len(rows):
        raise InputError(
            "there are no rows", where=rows.source, got="a table of 0 rows", fix="hand in at least one row"
        )
    missing = [name for name in wanted if name not in rows.columns]
    if missing:
        raise InputError(
            f"column{'s' if len(missing) > 1 else ''} missing",
            where=rows.source,
            got=f"no {', '.join(missing[:10])}; there is {', '.join(list(rows.columns)[:10])}",
            fix="hand in the columns of the first arrival, or name the right ones in the task",
        )
    extra = sorted(set(rows.columns) - set(known)) if known is not None else []
    if extra:
        raise InputError(
            f"column{'s' if len(extra) > 1 else ''} that the first arrival did not have",
            where=rows.source,
            got=", ".join(extra[:10]),
            fix="drop them, or pass extra_columns='ignore' to the task",
        )


def first_classes(rows: Rows, target: str) -> dict[str, Any]:
    """The target part of a schema: the classes of the first arrival, sorted.

    Raises:
        InputError: missing or non-finite targets, floats that are no integers, or one class only.
    """
    labels = _labels(rows, target)
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise InputError(
            "the first arrival has one class only",
            where=f"{rows.source}, column {target}",
            got=classes[0] if classes else "no label",
            fix="hand in rows of at least two classes",
        )
    return {"column": target, "kind": "class", "classes": classes, "type": _type(classes)}


def later_classes(rows: Rows, schema: Schema, *, allow_new: bool) -> Schema:
    """Checks the labels of a later arrival; new classes go to the end of the list where allowed.

    Raises:
        InputError: another type of label, or a new class that was not allowed.
    """
    target = dict(schema.target)
    labels = _labels(rows, target["column"])
    where = f"{rows.source}, column {target['column']}"
    if _type(labels) != target["type"]:
        raise InputError(
            f"labels were {target['type']} and are {_type(labels)} now",
            where=where,
            got=labels[0],
            fix="hand in labels of the type of the first arrival",
        )
    known = set(target["classes"])
    new = sorted(set(labels) - known)
    if new and not allow_new:
        mask = np.array([label == new[0] for label in labels])
        raise InputError(
            f"label {new[0]!r} is not among the {len(known)} known classes",
            where=f"{where}, {places(mask)}",
            got=f"{len(new)} new class{'es' if len(new) > 1 else ''}: {', '.join(map(str, new[:5]))}",
            fix="correct the labels, or pass allow_new_classes=True to the task",
        )
    target["classes"] = [*target["classes"], *new]
    return Schema(schema.columns, target, schema.encoding)


def class_targets(rows: Rows, schema: Schema) -> Tensor:
    """(n,) int64: number of each row's class.

    Raises:
        InputError: a label that is not among the classes of the schema.
    """
    target = schema.target
    numbers = {label: index for index, label in enumerate(target["classes"])}
    labels = _labels(rows, target["column"])
    unknown = np.array([label not in numbers for label in labels], dtype=bool)
    if unknown.any():
        raise InputError(
            f"a label is not among the {len(numbers)} known classes",
            where=f"{rows.source}, column {target['column']}, {places(unknown)}",
            got=labels[int(unknown.argmax())],
            fix="check the rows against the schema first: task.check(rows, schema)",
        )
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64)


def texts(rows: Rows, name: str) -> list[str]:
    """The strings of a text column.

    Raises:
        InputError: it holds numbers or bytes.
    """
    values = rows.column(name)
    if values.dtype != object or (len(values) and not isinstance(values[0], str)):
        raise InputError(
            "the text column holds no text",
            where=f"{rows.source}, column {name}",
            got="bytes" if values.dtype == object else str(values.dtype),
            fix="hand in strings, or name another column in the task",
        )
    return list(values.tolist())


def _labels(rows: Rows, target: str) -> list[Any]:
    values = rows.column(target)
    where = f"{rows.source}, column {target}"
    if values.ndim != 1 or (values.dtype == object and len(values) and isinstance(values[0], bytes)):
        raise InputError(
            "a label must be a number or a string",
            where=where,
            got=f"shape {list(values.shape)}",
            fix="give one label for each row",
        )
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values) | (values != np.floor(np.where(np.isfinite(values), values, 0.5)))
        if wrong.any():
            raise InputError(
                "a label is missing or no whole number",
                where=f"{where}, {places(wrong)}",
                got=str(values[np.flatnonzero(wrong)[0]]),
                fix="fill in the labels; for a number to predict use a regression task",
            )
        return [int(value) for value in values]
    if values.dtype == object:
        empty = np.array([value == "" for value in values], dtype=bool)
        if empty.any():
            raise InputError(
                "a label is missing",
                where=f"{where}, {places(empty)}",
                got="an empty cell",
                fix="fill in the labels, or leave these rows out",
            )
    return list(values.tolist())


def _type(labels: Sequence[Any]) -> str:
    kinds = {bool: "booleans", int: "whole numbers", str: "strings"}
    return kinds.get(type(labels[0]), "other") if labels else "nothing"


def unknown_options(kind: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuses options that a kind of task does not have."""
    wrong = sorted(set(given) - set(allowed))
    if wrong:
        raise InputError(
            f"{kind} has no such option",
            where="task",
            got=", ".join(wrong),
            fix=f"its options are: {', '.join(allowed)}",
        )
