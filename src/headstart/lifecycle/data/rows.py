"""Rows: a table held by columns, with a digest of its content and one file format without pickle."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError, StoreError
from headstart.lifecycle.durable import tensors_file
from headstart.lifecycle.untrusted import check_header, metadata, read_header

__all__ = ["Rows", "concat", "load_rows", "save_rows"]

Array = np.ndarray[Any, Any]
_OFFSETS, _ROWS = "#offsets", "headstart.rows"
_STORED = ("int64", "float64", "float32", "bool", "uint8")
_OBJECTS = ("text", "bytes")


@dataclass(frozen=True)
class Rows:
    """A table of n rows.

    Attributes:
        columns: by name: numeric or bool arrays of shape (n, ...), or object arrays (n,) that hold
            only strings or only bytes. Stored as int64, float64, float32, bool or uint8.
        source: where the rows came from, for messages; no part of the content.

    Raises:
        InputError: no column, columns of different length, or values that are neither numbers,
            strings nor bytes.
    """

    columns: Mapping[str, Array]
    source: str = "memory"

    def __post_init__(self) -> None:
        clean = {str(name): _clean(str(name), value, self.source) for name, value in self.columns.items()}
        lengths = {name: len(value) for name, value in clean.items()}
        if not clean or len(set(lengths.values())) != 1:
            raise InputError(
                "the columns differ in length" if clean else "there is no column",
                where=self.source,
                got=", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:6]) or "nothing",
                fix="give columns of the same number of rows",
            )
        object.__setattr__(self, "columns", clean)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, indices: Any) -> Rows:
        """The rows with these numbers (from 0), in this order; or those where a mask is true."""
        index = np.asarray(indices)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        return Rows({name: value[index] for name, value in self.columns.items()}, self.source)

    def drop(self, *names: str) -> Rows:
        """All columns but these."""
        return Rows({k: v for k, v in self.columns.items() if k not in names}, self.source)

    def column(self, name: str) -> Array:
        """One column.

        Raises:
            InputError: there is none of this name.
        """
        if name not in self.columns:
            raise InputError(
                "there is no such column",
                where=self.source,
                got=name,
                fix=f"the columns are: {', '.join(list(self.columns)[:20])}",
            )
        return self.columns[name]

    def digest(self) -> str:
        """SHA-256 of names, kinds, shapes and values, in order; the same on every machine."""
        total = hashlib.sha256()
        for name, value in self.columns.items():
            head = json.dumps([name, _kind(value), list(value.shape)])
            total.update(head.encode())
            for part in _packed(value):
                total.update(np.ascontiguousarray(part).tobytes())
        return total.hexdigest()

    def row_digests(self, names: Sequence[str] | None = None) -> list[str]:
        """SHA-256 of each row over these columns (all by default).

        A row's digest depends on that row alone, and equal numbers are equal whatever type their column
        was read as: 1 and 1.0 are the same value, "1" and "01" are not.
        """
        chosen = sorted(self.columns if names is None else names)
        hashes = [hashlib.sha256() for _ in range(len(self))]
        for name in chosen:
            head = _encoded(name) + b"\x00"
            for total, value in zip(hashes, _row_bytes(self.column(name)), strict=True):
                total.update(head + len(value).to_bytes(8, "little") + value)
        return [total.hexdigest() for total in hashes]


def concat(parts: Sequence[Rows]) -> Rows:
    """Several tables one below the other.

    Raises:
        InputError: none given, or their columns differ.
    """
    if not parts:
        raise InputError("there is nothing to join", where="rows", got="no part", fix="give at least one")
    names = list(parts[0].columns)
    for part in parts[1:]:
        if set(part.columns) != set(names):
            raise InputError(
                "the parts have different columns",
                where=part.source,
                got=", ".join(sorted(set(part.columns) ^ set(names))),
                fix="give parts with the same columns",
            )
    if len(parts) == 1:
        return parts[0]
    joined = {name: _join(name, [part.columns[name] for part in parts]) for name in names}
    return Rows(joined, parts[-1].source)


def save_rows(rows: Rows, path: Path) -> None:
    """Writes the table as one safetensors file; strings and bytes as their bytes and offsets.

    Raises:
        InputError: there are too many columns for so few rows.
    """
    from safetensors.numpy import save_file

    tensors: dict[str, Array] = {}
    for number, value in enumerate(rows.columns.values()):  # a column may have any name, a tensor may not
        packed = _packed(value)
        tensors[str(number)] = np.ascontiguousarray(packed[0])
        if len(packed) > 1:
            tensors[f"{number}{_OFFSETS}"] = packed[1]
    kinds = [[name, _kind(value)] for name, value in rows.columns.items()]
    with tensors_file(path):
        save_file(tensors, str(path), metadata={_ROWS: json.dumps(kinds)})
    check_header(path)


def load_rows(path: Path) -> Rows:
    """Reads what :func:`save_rows` wrote.

    Raises:
        StoreError: the file is not a table of ours.
    """
    from safetensors import SafetensorError, safe_open

    header = read_header(path)
    try:
        listed = metadata(header, _ROWS)
        kinds = {str(name): str(kind) for name, kind in listed}
        if len(kinds) < len(listed):
            raise ValueError("two columns have one name")
        if len(header) != sum(2 if kind in _OBJECTS else 1 for kind in kinds.values()):
            raise ValueError("the file holds more or fewer tensors than its columns need")
        with safe_open(str(path), framework="numpy") as file:
            packed = {name: _parts(kind, str(n), file) for n, (name, kind) in enumerate(kinds.items())}
            columns = {name: _unpacked(kinds[name], *parts) for name, parts in packed.items()}
            return Rows(columns, Path(path).name)
    except (
        SafetensorError,
        OSError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise StoreError(
            "a stored table cannot be read",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            fix="`headstart doctor --verify` shows what is damaged; restore the file from a copy",
        ) from error


def _kind(value: Array) -> str:
    if value.dtype != object:
        return str(value.dtype)
    return "bytes" if len(value) and isinstance(value[0], bytes) else "text"


def _packed(value: Array) -> list[Array]:
    if value.dtype != object:
        return [value.astype(value.dtype.newbyteorder("<"), copy=False)]
    raw = [_encoded(item) for item in value]
    offsets = np.zeros(len(raw) + 1, dtype="<i8")
    offsets[1:] = np.cumsum([len(item) for item in raw])
    return [np.frombuffer(b"".join(raw), dtype=np.uint8), offsets]


def _encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def _parts(kind: str, name: str, file: Any) -> list[Array]:
    """A column as it is stored, checked; values of text are built only when every column is sound."""
    data = np.asarray(file.get_tensor(name))
    if kind not in _OBJECTS:
        if str(data.dtype) != kind or kind not in _STORED:
            raise ValueError(f"column {name} is {data.dtype}, its kind says {kind}")
        return [data]
    offsets = np.asarray(file.get_tensor(name + _OFFSETS))
    if [str(data.dtype), data.ndim, str(offsets.dtype), offsets.ndim] != ["uint8", 1, "int64", 1]:
        raise ValueError(f"column {name} is no text or bytes")
    if offsets[0] != 0 or offsets[-1] != len(data) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"the offsets of column {name} are wrong")
    return [data, offsets]


def _unpacked(kind: str, data: Array, offsets: Array | None = None) -> Array:
    if offsets is None:
        return data
    blob = data.tobytes()
    parts = [blob[a:b] for a, b in itertools.pairwise(offsets.tolist())]
    values = parts if kind == "bytes" else [part.decode("utf-8", "surrogatepass") for part in parts]
    return _objects(values)


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _row_bytes(value: Array) -> list[bytes]:
    if value.dtype == object:
        tag = b"b" if _kind(value) == "bytes" else b"s"
        return [tag + _encoded(item) for item in value]
    floats = np.ascontiguousarray(value.astype("<f8") + 0.0)  # -0.0 and 0.0 are the same value
    floats[np.isnan(floats)] = np.nan  # and so are all the bit patterns of NaN
    raw = [b"n" + row.tobytes() for row in floats]
    if value.dtype == np.int64:
        # Rows with integers that no float holds keep their own bytes.
        back = np.where(np.abs(floats) < 2.0**63, floats, 0.0).astype(np.int64)
        lossy = (back != value).reshape(len(value), -1).any(axis=1)
        for row in np.flatnonzero(lossy):
            raw[row] = b"i" + value[row].astype("<i8").tobytes()
    return raw


def _join(name: str, parts: list[Array]) -> Array:
    kinds = {part.dtype == object for part in parts}
    shapes = {part.shape[1:] for part in parts}
    if len(kinds) > 1 or len(shapes) > 1:
        raise InputError(
            "a column changes its kind or shape between the parts",
            where=f"column {name}",
            got=", ".join(sorted({f"{_kind(p)} {list(p.shape[1:])}" for p in parts})),
            fix="give parts whose columns hold the same kind of values",
        )
    return np.concatenate(parts)


def _clean(name: str, value: Any, source: str) -> Array:
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 0:
        raise InputError(
            "a column is a single value",
            where=f"{source}, column {name}",
            got=value,
            fix="give one value for each row",
        )
    if array.dtype == object or array.dtype.kind in "US":
        return _clean_objects(name, array, source)
    if array.dtype in (np.bool_, np.float32, np.float64) or (array.dtype == np.uint8 and array.ndim > 1):
        return array
    if array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        _refuse_inexact(name, int(array.max()), source)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    raise InputError(
        "a column holds values that are neither numbers, strings nor bytes",
        where=f"{source}, column {name}",
        got=str(array.dtype),
        fix="convert it first, for example times to seconds as numbers",
    )


def _clean_objects(name: str, array: Array, source: str) -> Array:
    values = array.tolist()
    if array.ndim == 1 and all(isinstance(v, str) for v in values):
        return _objects(values)
    if array.ndim == 1 and all(isinstance(v, bytes) for v in values):
        return _objects(values)
    plain = [v.item() if isinstance(v, np.generic) else v for v in values]
    if array.ndim == 1 and is_numbers(plain):
        return number_column(name, plain, source)
    wrong = next((i for i, v in enumerate(values) if not isinstance(v, (str, bytes))), 0)
    raise InputError(
        "a column mixes kinds of values, or misses one",
        where=f"{source}, column {name}, row {wrong + 1}",
        got=values[wrong] if values else "nothing",
        fix="give only numbers, only strings or only bytes; fill or drop missing strings",
    )


def is_numbers(values: Sequence[Any]) -> bool:
    """Whether these are numbers, some perhaps missing (None)."""
    kinds = {type(value) for value in values}
    return bool(kinds & {int, float}) and kinds <= {int, float, type(None)}


def number_column(name: str, values: Sequence[int | float | None], source: str) -> Array:
    """(n,) int64 if all are whole and none is missing, else float64 with NaN for the missing ones.

    Raises:
        InputError: a whole number that the column's type would not give back.
    """
    whole = all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in values)
    for value in values:
        if isinstance(value, int) and not whole and not float_holds(value):
            _refuse_inexact(name, value, source)
    if whole:
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def float_holds(value: int) -> bool:
    """Whether a float64 holds this whole number without loss."""
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _refuse_inexact(name: str, value: int, source: str) -> None:
    raise InputError(
        "a whole number is too large to be kept exactly",
        where=f"{source}, column {name}",
        got=str(value)[:40] if value.bit_length() < 4096 else f"a number of {value.bit_length()} bits",
        fix="write such numbers as text",
    )
