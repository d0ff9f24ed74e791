"""Tabular tasks: columns of numbers, categories and vectors; a class or a number to predict."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.lifecycle.tasks.checks import (
    check_columns,
    class_targets,
    first_classes,
    later_classes,
    places,
    texts,
)
from headstart.lifecycle.tasks.options import checked
from headstart.nn.models import MLP

__all__ = ["TabularClassification", "TabularRegression"]

Array = np.ndarray[Any, Any]
# A text column with more values than this is no category.
_MOST_CATEGORIES = 1000


@checked
def TabularClassification(
    target: str = "label",
    *,
    model: Any = None,
    hidden: Sequence[int] = (64, 64),
    columns: Sequence[str] | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    allow_new_classes: bool = False,
    extra_columns: str = "refuse",
    missing: str = "refuse",
) -> Task:
    """Predicts a class from a row of a table.

    Numbers are standardized with mean and scale of the first arrival, text columns become one-hot
    categories (a value not seen before is all zeros), arrays are flattened.

    Args:
        target: column of the class: whole numbers, strings or booleans.
        model: how to build the model (see :class:`Task`); a perceptron by default.
        hidden: hidden widths of the default perceptron.
        columns: input columns; by default all but target, group and slices.
        group: column whose rows belong together and never get split.
        slices: columns whose every value the gate protects.
        allow_new_classes: let a later arrival bring new classes; the model is widened.
        extra_columns: ``refuse`` or ``ignore`` columns that the first arrival did not have.
        missing: ``refuse`` NaN and infinity, or replace them by the column's ``mean``.
    """
    inputs = _Inputs(target, columns, group, slices, extra_columns == "ignore", missing)

    def infer(rows: Rows) -> Schema:
        check_columns(rows, [target])
        return inputs.infer(rows, first_classes(rows, target))

    def check(rows: Rows, schema: Schema) -> Schema:
        inputs.check(rows, schema)
        return later_classes(rows, schema, allow_new=allow_new_classes)

    return Task(
        name="tabular-classification",
        target=target,
        model=model if model is not None else functools.partial(_perceptron, hidden=tuple(hidden)),
        infer_schema=infer,
        check_rows=check,
        encode_rows=lambda rows, schema: Examples(inputs.encode(rows, schema), class_targets(rows, schema)),
        group=group,
        slices=tuple(slices),
        settings={"columns": list(columns) if columns else None, "missing": missing},
    )


@checked
def TabularRegression(
    target: str,
    *,
    model: Any = None,
    hidden: Sequence[int] = (64, 64),
    columns: Sequence[str] | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    extra_columns: str = "refuse",
    missing: str = "refuse",
) -> Task:
    """Predicts a number from a row of a table.

    The target is standardized with mean and scale of the first arrival; loss is the mean squared error
    and the score the negative squared error, both in units of the target's variance then.

    Args:
        target: column of the number.
        model, hidden, columns, group, slices, extra_columns, missing: as in
            :func:`TabularClassification`.
    """
    inputs = _Inputs(target, columns, group, slices, extra_columns == "ignore", missing)

    def infer(rows: Rows) -> Schema:
        check_columns(rows, [target])
        mean, scale = _moments(_numbers(rows, target)[:, None])
        about = {"column": target, "kind": "number", "mean": mean.item(), "scale": scale.item()}
        return inputs.infer(rows, about)

    def check(rows: Rows, schema: Schema) -> Schema:
        inputs.check(rows, schema)
        _numbers(rows, target)
        return schema

    def encode(rows: Rows, schema: Schema) -> Examples:
        about = schema.target
        values = (_numbers(rows, target) - about["mean"]) / about["scale"]
        return Examples(inputs.encode(rows, schema), torch.from_numpy(values.astype(np.float32)))

    return Task(
        name="tabular-regression",
        target=target,
        model=model if model is not None else functools.partial(_perceptron, hidden=tuple(hidden)),
        infer_schema=infer,
        check_rows=check,
        encode_rows=encode,
        loss_fn=lambda outputs, targets: nn.functional.mse_loss(outputs.flatten(), targets),
        score_fn=lambda outputs, targets: -((outputs.flatten() - targets) ** 2),
        baseline_fn=lambda train, other: -((other - train.mean()) ** 2),
        metric="negative squared error",
        binary=False,
        group=group,
        slices=tuple(slices),
        settings={"columns": list(columns) if columns else None, "missing": missing},
    )


class _Inputs:
    """Input columns of a table: their schema, checks and encoding."""

    def __init__(
        self,
        target: str,
        columns: Sequence[str] | None,
        group: str | None,
        slices: Sequence[str],
        ignore: bool,
        missing: str,
    ) -> None:
        self.columns = columns
        self.ignore, self.missing = ignore, missing
        self.aside = {target, *slices, *([group] if group else [])}
        if target in (self.columns or ()):
            raise InputError(
                "the target is among the input columns",
                where="task.columns",
                got=target,
                fix="leave it out: a model that is told the answer learns nothing",
            )

    def infer(self, rows: Rows, target: dict[str, Any]) -> Schema:
        names = list(self.columns or [name for name in rows.columns if name not in self.aside])
        check_columns(rows, [*names, *self.aside])
        if not names:
            raise InputError(
                "there is no input column",
                where=rows.source,
                got=", ".join(rows.columns),
                fix="hand in columns besides the target",
            )
        columns = {name: _column_schema(rows, name) for name in names}
        width = sum(_width(column) for column in columns.values())
        for name, column in columns.items():
            if column["kind"] != "category":
                _finite(rows, name, self.missing)
        return Schema(columns, target, {"input_shape": [width]})

    def check(self, rows: Rows, schema: Schema) -> None:
        names = list(schema.columns)
        known = None if self.ignore or self.columns else [*names, *self.aside]
        check_columns(rows, [*names, *self.aside], known=known)
        for name, column in schema.columns.items():
            values = rows.column(name)
            text = values.dtype == object
            if text != (column["kind"] == "category") or list(values.shape[1:]) != column["shape"]:
                wrong = np.array([not _number(value) for value in values], dtype=bool) if text else None
                row = f", {places(wrong)}" if wrong is not None and wrong.any() else ""
                raise InputError(
                    "a column changed its kind or shape",
                    where=f"{rows.source}, column {name}{row}",
                    got=f"{'text' if text else values.dtype} {list(values.shape[1:])}",
                    fix=f"hand in {column['kind']} values of shape {column['shape']} as in the first arrival",
                )
            if text:
                texts(rows, name)
            else:
                _finite(rows, name, self.missing, column)

    def encode(self, rows: Rows, schema: Schema) -> Tensor:
        parts = [_encode_column(rows.column(name), column) for name, column in schema.columns.items()]
        return torch.from_numpy(np.concatenate(parts, axis=1))


def _column_schema(rows: Rows, name: str) -> dict[str, Any]:
    values = rows.column(name)
    if values.dtype == object:
        found = sorted(set(values.tolist())) if len(values) and isinstance(values[0], str) else []
        if not found or len(found) > _MOST_CATEGORIES:
            raise InputError(
                "a text column has too many different values for a category",
                where=f"{rows.source}, column {name}",
                got=f"{len(found)} values" if found else "bytes",
                fix="leave it out by columns=[...], or use a text or image task",
            )
        return {"kind": "category", "shape": [], "values": found}
    flat = _flat(values)
    mean, scale = _moments(flat)
    usable = flat[_usable(flat)]
    return {
        "kind": "number" if values.ndim == 1 else "vector",
        "shape": list(values.shape[1:]),
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "low": float(usable.min()) if len(usable) else 0.0,
        "high": float(usable.max()) if len(usable) else 0.0,
    }


def _width(column: dict[str, Any]) -> int:
    return len(column["values"]) if column["kind"] == "category" else len(column["mean"])


def _encode_column(values: Array, column: Any) -> Array:
    if column["kind"] == "category":
        known = np.array(column["values"], dtype=object)
        return np.asarray(values[:, None] == known[None, :], dtype=np.float32)
    scaled = _standardized(_flat(values), column)
    return np.where(np.isfinite(scaled), scaled, np.float32(0.0))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64)


def _usable(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.isfinite(values.astype(np.float32)))


def _standardized(flat: Array, column: Any) -> Array:
    """(n, width) float32; not finite where the value is not, or is too large for 32 bits."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled: Array = ((flat - np.array(column["mean"])) / np.array(column["scale"])).astype(np.float32)
    return scaled


def _moments(flat: Array) -> tuple[Array, Array]:
    """Mean and scale of each column over its usable values; a constant column has scale 1.

    Constant is told by range, not by deviation: rounding gives 1e9 + 0.1 in every row a deviation.
    """
    mean, scale = np.zeros(flat.shape[1]), np.ones(flat.shape[1])
    for index, values in enumerate(flat.T):
        usable = values[_usable(values)]
        if len(usable):
            constant = usable.min() == usable.max()
            mean[index] = usable[0] if constant else usable.mean()
            scale[index] = 1.0 if constant else usable.std() or 1.0
    return mean, scale


def _finite(rows: Rows, name: str, missing: str, column: Any = None) -> None:
    if missing == "mean":
        return
    flat = _flat(rows.column(name))
    usable = _usable(flat) if column is None else np.isfinite(_standardized(flat, column))
    wrong = ~usable.all(axis=1)
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum())} value{'s are' if wrong.sum() > 1 else ' is'} missing or not finite",
            where=f"{rows.source}, column {name}, {places(np.asarray(wrong))}",
            got=f"{flat[wrong][0][~usable[wrong][0]][0]}",
            fix="fill them in, leave the rows out, or pass missing='mean' to the task",
        )


def _numbers(rows: Rows, name: str) -> Array:
    values = rows.column(name)
    if values.dtype == object or values.ndim != 1:
        raise InputError(
            "the number to predict is no number",
            where=f"{rows.source}, column {name}",
            got=str(values[0])[:40] if len(values) else "nothing",
            fix="hand in numbers, or use a classification task",
        )
    _finite(rows, name, "refuse")
    return values.astype(np.float64)


def _number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _perceptron(in_features: int, out_features: int, *, hidden: tuple[int, ...]) -> nn.Module:
    return MLP((in_features, *hidden, out_features))
