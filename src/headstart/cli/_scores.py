"""Paired scores from a file, for the gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from headstart.lifecycle.data.rows import Rows

__all__ = ["judge"]

_MOST_SLICES = 50


def judge(path: Path, **rules: Any) -> dict[str, Any]:
    """The gate's verdict on the columns ``old`` and ``new`` of a file.

    Args:
        path: CSV or JSON lines; a column ``group`` and any number of slice columns may follow.
        rules: ``margin`` and ``alpha``, where they differ from the gate's defaults.

    Raises:
        InputError: a column is missing, or is not made of finite numbers.
    """
    from headstart.lifecycle import gate
    from headstart.lifecycle.data.read import read

    rows = read(path)
    old, new = (_numbers(rows, name) for name in ("old", "new"))
    names = [name for name in rows.columns if name not in ("old", "new", "group")]
    slices = {key: places for name in names for key, places in _slices(rows, name).items()}
    groups = [str(value) for value in rows.column("group")] if "group" in rows.columns else None
    binary = all(bool(((side == 0) | (side == 1)).all()) for side in (old, new))
    if binary:
        verdict = gate.compare(old == 1, new == 1, slices=slices or None, groups=groups, **rules)
    else:
        verdict = gate.compare_scores(old, new, slices=slices or None, groups=groups, **rules)
    return dict(verdict.to_dict())


def _numbers(rows: Rows, name: str) -> np.ndarray:
    import numpy as np

    column = rows.column(name)
    try:
        values = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full(len(column), np.nan)
    bad = np.flatnonzero(~np.isfinite(values)) if values.ndim == 1 else np.arange(len(values))
    if len(bad):
        raise InputError(
            "a score must be a finite number",
            where=f"{rows.source}, column {name!r}, row {bad[0] + 1} ({len(bad)} such rows)",
            got=column[bad[0]],
            fix="write 0 and 1 for wrong and right, or a score where higher is better",
        )
    return values


def _slices(rows: Rows, name: str) -> dict[str, list[int]]:
    import numpy as np

    values = np.asarray([str(value) for value in rows.column(name)])
    kinds = np.unique(values)
    if len(kinds) > _MOST_SLICES:
        raise InputError(
            f"a slice column may have at most {_MOST_SLICES} different values",
            where=f"{rows.source}, column {name!r}",
            got=f"{len(kinds)} different values",
            fix="leave the column out, or name it 'group' if it says which items belong together",
        )
    return {f"{name}={kind}": np.flatnonzero(values == kind).tolist() for kind in kinds}
