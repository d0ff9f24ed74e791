"""Rows from Python objects: frames, records and torch data sets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.errors import HeadstartError, InputError, UserCodeError
from headstart.lifecycle.data.rows import Rows, is_numbers, number_column

__all__ = ["column_of", "from_records", "is_frame", "read_arrow", "read_dataset", "read_frame"]


def is_frame(data: Any) -> bool:
    """Whether this is a pandas or polars frame or an Arrow table."""
    module = type(data).__module__.split(".")[0]
    return module in ("pandas", "polars", "pyarrow") and hasattr(type(data), "columns")


def read_frame(data: Any, source: str) -> Rows:
    """A pandas or polars frame, or an Arrow table."""
    if type(data).__module__.split(".")[0] == "pyarrow":
        return read_arrow(data, source)
    if hasattr(data, "collect"):  # a lazy frame of polars
        data = data.collect()
    keys = list(data.columns)
    names = [str(name) for name in keys]
    _refuse_twice(names, source)
    columns = {name: column_of(name, data[key], source) for name, key in zip(names, keys, strict=True)}
    return Rows(columns, source)


def read_arrow(table: Any, source: str) -> Rows:
    """An Arrow table; an image struct (bytes, path) gives its bytes."""
    _refuse_twice(table.column_names, source)
    columns = {}
    for name in table.column_names:
        values = _arrow_values(table, name, source)
        if any(isinstance(value, Mapping) and "bytes" in value for value in values):
            values = [value["bytes"] if isinstance(value, Mapping) else value for value in values]
        columns[name] = _column(name, values, source)
    return Rows(columns, source)


def _arrow_values(table: Any, name: str, source: str) -> list[Any]:
    try:
        return list(table.column(name).to_pylist())
    except (ValueError, OverflowError, TypeError, LookupError, NotImplementedError) as error:
        # Arrow holds dates and times that Python does not, and texts that are none.
        raise InputError(
            "a column holds values that cannot be read",
            where=f"{source}, column {name}",
            got=f"{table.schema.field(name).type}: {error}",
            fix="leave the column out, or write it as numbers or as text",
        ) from error


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
    for index in range(_users(lambda: len(data), name, "__len__")):
        item = _users(functools.partial(data.__getitem__, index), f"{name}, item {index}", "__getitem__")
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


def column_of(name: str, value: Any, source: str) -> np.ndarray[Any, Any]:
    """One column: an array, tensor, series, Arrow array, frame of numbers, or an iterable of values.

    Raises:
        InputError: a single value, or values that make no column.
    """
    if hasattr(value, "detach"):
        return _tensor(value)
    if isinstance(value, np.ma.MaskedArray):
        return _column(name, value.tolist(), source)
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "to_pylist"):
        return _column(name, value.to_pylist(), source)
    if hasattr(value, "to_numpy"):
        array = np.asarray(value.to_numpy())
        if array.ndim != 1 or array.dtype.kind not in "OUST":
            return array
        return _column(name, [None if _missing(item) else item for item in array.tolist()], source)
    if isinstance(value, (str, bytes, Mapping, set, frozenset)) or not hasattr(value, "__iter__"):
        raise InputError(
            "a column is a single value, or has no order",
            where=f"{source}, column {name}",
            got=value,
            fix="give a list or an array with one value for each row",
        )
    return _column(name, list(value), source)


def _users(work: Callable[[], Any], where: str, name: str) -> Any:
    try:
        return work()
    except HeadstartError:
        raise
    except Exception as error:
        raise UserCodeError(
            "the data set failed",
            where=where,
            got=f"{type(error).__name__}: {error}",
            fix=f"mend its {name}; the cause stands above",
        ) from error


def _refuse_twice(names: Sequence[str], source: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "the table uses a column name twice", where=source, got=", ".join(twice), fix="rename its columns"
        )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"


def _column(name: str, values: Sequence[Any], source: str) -> np.ndarray[Any, Any]:
    plain = [_item(value) for value in values]
    if any(isinstance(value, (list, np.ndarray)) for value in plain):
        return _vectors(name, plain, source)
    if all(isinstance(value, bool) for value in plain):
        return np.array(plain, dtype=np.bool_)
    if is_numbers(plain):
        return number_column(name, plain, source)
    array = np.empty(len(plain), dtype=object)
    array[:] = plain
    wrong = next((i for i, value in enumerate(plain) if not isinstance(value, type(plain[0]))), None)
    if wrong is not None or not isinstance(plain[0], (str, bytes)):
        row = wrong or 0
        raise InputError(
            "a column mixes kinds of values, misses one, or holds none of the supported kinds",
            where=f"{source}, column {name}, row {row + 1}",
            got=plain[row],
            fix="give only numbers, only strings or only bytes; times, for example, as seconds",
        )
    return array


def _vectors(name: str, values: Sequence[Any], source: str) -> np.ndarray[Any, Any]:
    array, shapes = np.empty(0, dtype=object), set[tuple[int, ...]]()
    try:
        arrays = [np.asarray(value) for value in values]
        shapes = {value.shape for value in arrays}
        array = np.asarray(arrays)
    except (ValueError, OverflowError):  # ragged
        pass
    if len(shapes) != 1 or array.dtype.kind not in "iufb":
        raise InputError(
            "the values of a column are no arrays of one shape",
            where=f"{source}, column {name}",
            got=f"{str(values[0])[:80]}; shapes {', '.join(str(list(s)) for s in sorted(shapes)[:4])}",
            fix="give numbers, in arrays of one shape",
        )
    return array


def _item(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = _tensor(value)
    elif hasattr(value, "__array_interface__") and not isinstance(
        value, np.generic
    ):  # such as Pillow's images
        value = np.asarray(value)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def _tensor(value: Any) -> np.ndarray[Any, Any]:
    value = value.detach().cpu()
    if value.is_sparse:
        value = value.to_dense()
    if str(value.dtype) == "torch.bfloat16":  # NumPy has none
        value = value.float()
    return np.asarray(value.numpy())
