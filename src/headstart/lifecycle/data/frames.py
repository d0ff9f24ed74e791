"""Rows from Python objects: frames, records and torch data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.errors import HeadstartError, InputError, UserCodeError
from headstart.lifecycle.data.rows import Rows

__all__ = ["from_records", "is_frame", "read_arrow", "read_dataset", "read_frame"]


def is_frame(data: Any) -> bool:
    """Whether this is a pandas or polars frame or an Arrow table."""
    module = type(data).__module__.split(".")[0]
    return module in ("pandas", "polars", "pyarrow") and hasattr(data, "columns")


def read_frame(data: Any, source: str) -> Rows:
    """A pandas or polars frame, or an Arrow table."""
    if type(data).__module__.split(".")[0] == "pyarrow":
        return read_arrow(data, source)
    names = [str(name) for name in data.columns]
    if len(set(names)) != len(names):
        raise InputError(
            "the frame uses a column name twice",
            where=source,
            got=", ".join(sorted({n for n in names if names.count(n) > 1})),
            fix="rename its columns",
        )
    return Rows({name: _series(data[key]) for name, key in zip(names, data.columns, strict=True)}, source)


def read_arrow(table: Any, source: str) -> Rows:
    """An Arrow table; an image struct (bytes, path) gives its bytes."""
    columns = {}
    for name in table.column_names:
        values = table.column(name).to_pylist()
        if values and isinstance(values[0], Mapping) and "bytes" in values[0]:
            values = [value["bytes"] for value in values]
        columns[name] = _column(name, values, source)
    return Rows(columns, source)


def from_records(records: Sequence[Mapping[str, Any]], source: str) -> Rows:
    """A list of mappings that all have the same keys.

    Raises:
        InputError: keys differ, or a value is of no supported kind.
    """
    names = list(records[0])
    for number, record in enumerate(records, start=1):
        if set(record) != set(names):
            differ = sorted(set(map(str, record)) ^ set(map(str, names)))
            raise InputError(
                "a row has other keys than the first",
                where=f"{source}, row {number}",
                got=", ".join(differ),
                fix="give every row the same keys",
            )
    return Rows({str(n): _column(str(n), [r[n] for r in records], source) for n in names}, source)


def read_dataset(data: Any, source: str) -> Rows:
    """A map-style data set whose items are pairs (x, y) or mappings.

    Raises:
        UserCodeError: the data set's own code raised.
    """
    name = source if source != "memory" else type(data).__name__
    records = []
    for index in range(len(data)):
        try:
            item = data[index]
        except HeadstartError:
            raise
        except Exception as error:
            raise UserCodeError(
                "the data set failed",
                where=f"{name}, item {index}",
                got=f"{type(error).__name__}: {error}",
                fix="mend its __getitem__; the cause stands above",
            ) from error
        if isinstance(item, Mapping):
            records.append(dict(item))
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            records.append({"x": item[0], "y": item[1]})
        else:
            raise InputError(
                "an item of the data set is neither a pair nor a mapping",
                where=f"{name}, item {index}",
                got=type(item).__name__,
                fix="return (x, y) or a mapping of columns",
            )
    if not records:
        raise InputError("there are no rows", where=name, got="length 0", fix="hand in at least one row")
    return from_records(records, name)


def _series(series: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(series.to_numpy() if hasattr(series, "to_numpy") else series)
    if array.dtype.kind in "OUST":
        values = [None if _missing(value) else value for value in array.tolist()]
        return _column(str(series.name), values, "frame")
    return array


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"


def _column(name: str, values: Sequence[Any], source: str) -> np.ndarray[Any, Any]:
    plain = [_item(value) for value in values]
    if any(isinstance(value, (list, np.ndarray)) for value in plain):
        return _vectors(name, plain, source)
    if all(isinstance(value, bool) for value in plain):
        return np.array(plain, dtype=np.bool_)
    numbers = all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in plain
    )
    if numbers and any(value is not None for value in plain):
        if all(isinstance(value, int) and abs(value) < 2**63 for value in plain):
            return np.array(plain, dtype=np.int64)
        return np.array([np.nan if v is None else float(v) for v in plain], dtype=np.float64)
    array = np.empty(len(plain), dtype=object)
    array[:] = plain
    wrong = next((i for i, value in enumerate(plain) if not isinstance(value, type(plain[0]))), None)
    if wrong is not None or not isinstance(plain[0], (str, bytes)):
        row = wrong or 0
        raise InputError(
            "a column mixes kinds of values, or misses one",
            where=f"{source}, column {name}, row {row + 1}",
            got=plain[row],
            fix="give only numbers, only strings or only bytes in a column",
        )
    return array


def _vectors(name: str, values: Sequence[Any], source: str) -> np.ndarray[Any, Any]:
    shapes = {np.shape(value) for value in values}
    try:
        array = np.asarray([np.asarray(value) for value in values])
    except ValueError:
        array = np.empty(0, dtype=object)
    if len(shapes) != 1 or array.dtype.kind not in "iufb":
        raise InputError(
            "the values of a column are no arrays of one shape",
            where=f"{source}, column {name}",
            got=", ".join(str(list(shape)) for shape in list(shapes)[:4]),
            fix="give numbers, in arrays of one shape",
        )
    return array


def _item(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value
