"""Parquet files with columns of every type that Arrow knows, and damaged ones."""

from __future__ import annotations

import datetime
import decimal
import functools
import io
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.reliability._fuzz.values import damaged, text

__all__ = ["parquet"]

_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_TIMES = (
    *(pa.timestamp(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC", "+05:30")),
    *(pa.date32(), pa.date64(), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.duration("us")),
)


def parquet(random: Random, damage: bool) -> bytes:
    """A file of up to four columns; or one of a few such files, damaged."""
    if damage:
        return damaged(random, _sample(random.randrange(12)))
    names = [
        random.choice(("label", "text", "a", "b", "image", "é", "")) for _ in range(random.randint(1, 4))
    ]
    if random.random() < 0.9:
        names = list(dict.fromkeys(names))
    return _written(
        [_column(random, random.choice((0, 1, 4, 4, 4))) for _ in names[:1]] * len(names), names, random
    )


@functools.cache
def _sample(number: int) -> bytes:
    random = Random(number)
    label = pa.array([0, 1, 0, 1])
    return _written([label, _column(random, 4), _column(random, 4)], ["label", "a", "text"], random)


def _written(columns: Sequence[Any], names: Sequence[str], random: Random) -> bytes:
    size = len(columns[0])
    columns = [columns[0], *(_column(random, size) for _ in columns[1:])]
    compression = random.choice(("snappy", "none", "gzip", "zstd"))
    file = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_arrays(list(columns), list(names)), file, compression=compression)
    except pa.ArrowException:  # a type that Parquet has no place for
        pq.write_table(pa.table({"label": [0, 1]}), file)
    return file.getvalue()


def _column(random: Random, size: int) -> Any:
    """An array of a type drawn at random, some values perhaps missing."""
    make = random.choice(_MAKERS)
    missing = random.random() < 0.3
    values, kind = make(random, size)
    values = [None if missing and random.random() < 0.3 else value for value in values]
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        return pa.array([0] * size)


def _integers(random: Random, size: int) -> tuple[list[Any], Any]:
    kind = random.choice(_INTEGERS)
    most = 2 ** (kind.bit_width - 1) - 1
    return [random.choice((0, 1, 2, most, most // 2)) for _ in range(size)], kind


def _floats(random: Random, size: int) -> tuple[list[Any], Any]:
    values = (0.0, -0.0, 1.0, 2.5, float("nan"), float("inf"), 1e308, 5e-324, 3.5e38)
    return [random.choice(values) for _ in range(size)], random.choice((pa.float32(), pa.float64()))


def _decimals(random: Random, size: int) -> tuple[list[Any], Any]:
    kind = random.choice((pa.decimal128(10, 2), pa.decimal128(38, 0), pa.decimal256(76, 10)))
    return [decimal.Decimal(random.randint(-999, 999)) for _ in range(size)], kind


def _times(random: Random, size: int) -> tuple[list[Any], Any]:
    kind = random.choice(_TIMES)
    most = 86_399 if pa.types.is_time(kind) else 2**62 if kind.bit_width == 64 else 2**31 - 1
    if kind == pa.date64():
        most = 86_400_000 * 10**9
    return [random.choice((0, 1, -1 if most > 10**6 else 1, most)) for _ in range(size)], kind


def _texts(random: Random, size: int) -> tuple[list[Any], Any]:
    values = [text(random, 20).encode("utf-8", "replace").decode() for _ in range(size)]
    return values, random.choice((pa.string(), pa.large_string(), pa.string_view()))


def _words(random: Random, size: int) -> tuple[list[Any], Any]:
    kind = random.choice(
        (pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.string()))
    )
    return [random.choice(("yes", "no", "some words here")) for _ in range(size)], kind


def _binaries(random: Random, size: int) -> tuple[list[Any], Any]:
    kind = random.choice((pa.binary(), pa.large_binary(), pa.binary(3)))
    return [
        b"abc" if kind == pa.binary(3) else random.randbytes(random.randint(0, 9)) for _ in range(size)
    ], kind


def _lists(random: Random, size: int) -> tuple[list[Any], Any]:
    inner = random.choice(
        (pa.int64(), pa.uint8(), pa.float32(), pa.string(), pa.bool_(), pa.list_(pa.int8()))
    )
    kind = random.choice((pa.list_(inner), pa.large_list(inner), pa.list_(inner, 2)))
    item: Any = "a" if inner == pa.string() else [1, 2] if inner == pa.list_(pa.int8()) else 1
    ragged = random.random() < 0.3
    return [[item] * (random.randint(0, 3) if ragged else 2) for _ in range(size)], kind


def _structs(random: Random, size: int) -> tuple[list[Any], Any]:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kind = random.choice((image, pa.struct([("x", pa.int64())]), pa.map_(pa.string(), pa.int64())))
    if kind == image:
        return [{"bytes": random.randbytes(5), "path": "x"} for _ in range(size)], kind
    return [{"x": 1} if kind != pa.map_(pa.string(), pa.int64()) else [("k", 1)] for _ in range(size)], kind


_MAKERS: tuple[Callable[[Random, int], tuple[list[Any], Any]], ...] = (
    *(_integers, _floats, _decimals, _times, _texts, _words, _words, _binaries, _lists, _structs),
    lambda random, size: ([random.random() < 0.5 for _ in range(size)], pa.bool_()),
    lambda random, size: ([None] * size, pa.null()),
    lambda random, size: ([datetime.date(2020, 1, 1)] * size, pa.date32()),
)
