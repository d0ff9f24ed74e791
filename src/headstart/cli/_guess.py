"""What kind of task a user's data asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from headstart.lifecycle.data.rows import Rows

__all__ = ["guess"]

_USUAL_TARGETS = ("label", "target", "class", "y")
_MOST_CLASSES = 50  # whole numbers with more values than this are taken for quantities
_LEAST_WORDS = 3  # a text has at least so many words on average; a category fewer


def guess(rows: Rows, target: str | None = None) -> tuple[str, dict[str, str]]:
    """The kind of task and its options.

    Args:
        rows: the user's data.
        target: the column to predict; guessed by its name when None.

    Raises:
        InputError: no column looks like a target, or ``target`` is none of the columns.
    """
    names = list(rows.columns)
    if target is None and names == ["text"]:
        return "language-model", {}
    target = target or next((name for name in _USUAL_TARGETS if name in names), None)
    if target is None:
        raise InputError(
            "no column has a usual name of a target",
            where=rows.source,
            got=f"columns {', '.join(names)}",
            fix="say which column to predict: --target COLUMN",
        )
    options, values = {"target": target}, rows.column(target)
    others = [rows.column(name) for name in names if name != target]
    if _is_quantity(values):
        return "tabular-regression", options
    if any(_all_of(column, bytes) for column in others):
        return "image-classification", options
    if len(others) == 1 and _all_of(others[0], str) and _mean_words(others[0]) >= _LEAST_WORDS:
        return "text-classification", options
    return "tabular-classification", options


def _is_quantity(values: np.ndarray) -> bool:
    if values.dtype.kind == "f":
        return True
    return values.dtype.kind in "iu" and len(set(values.ravel().tolist())) > _MOST_CLASSES


def _all_of(values: np.ndarray, kind: type) -> bool:
    return values.dtype.kind == "O" and len(values) > 0 and all(isinstance(value, kind) for value in values)


def _mean_words(values: np.ndarray) -> float:
    return sum(len(value.split()) for value in values) / len(values)
