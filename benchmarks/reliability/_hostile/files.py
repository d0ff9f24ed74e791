"""Hostile contents of files: what a parser gets to see once all digests are right."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Content = bytes | Callable[[Path], None]


def crafted(header: object, data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(shape: Any, offsets: Any, dtype: Any = "F32") -> dict[str, Any]:
    """A tensor in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def _with(key: str, text: Any, **more: Any) -> bytes:
    return crafted({"__metadata__": {key: text}, "a": entry([4], [0, 16]), **more})


class _Evil:
    """Touches the canary when it is unpickled: relative, so beside the store, where the trial runs."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch canary",)


def _saved() -> bytes:
    file = io.BytesIO()
    torch.save({"w": _Evil()}, file)
    return file.getvalue()


def _zipped(size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../canary", b"\0" * size)
    return file.getvalue()


def large(make: Callable[[], bytes]) -> Callable[[Path], None]:
    """Content that is made only when it is written."""

    def write(path: Path) -> None:
        path.write_bytes(make())

    return write


def sparse(size: int) -> Callable[[Path], None]:
    """A file of zeros that takes no room."""

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            file.truncate(size)

    return write


# Files of any name that are something else.
STRANGERS: dict[str, Content] = {
    "nothing": b"",
    "a short file": b"\1\2\3",
    "a pickle": pickle.dumps(_Evil()),
    "an old pickle": pickle.dumps(_Evil(), protocol=0),
    "an archive of torch.save": _saved(),
    "a zip bomb": _zipped(2**26),
    "a gzip bomb": gzip.compress(b"\0" * 2**26),
    "200 MB of nothing": sparse(200 * 2**20),
    "a script": b"#!/bin/sh\ntouch canary\n",
}

_ENTRY = '"%07x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
_LIE = '"z":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}'


def _entries(count: int) -> bytes:
    return crafted(("{" + "".join(_ENTRY % i for i in range(count)) + _LIE).encode(), b"\0" * 24)


TENSORS: dict[str, Content] = {
    "header too long": crafted({}, length=2**63),
    "header of all bits": crafted({}, length=2**64 - 1),
    "header over the file": crafted({}, length=1000),
    "header over its data": crafted(
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' + b"\0" * 16, b""
    ),
    "header over 100 MB": crafted({}, length=101 * 2**20),
    "header truly over 100 MB": large(lambda: crafted(b"{" + b" " * (101 * 2**20) + b"}")),
    "header empty": crafted(b""),
    "no JSON": crafted(b"{not json"),
    "JSON and more": crafted(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}}'),
    "deep JSON": crafted(b"[" * 100_000),
    "deep object": crafted(b'{"a":' * 100_000),
    "a list": crafted([]),
    "not UTF-8": crafted(b'{"\xff\xfe":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
    "UTF-16": crafted(json.dumps({"a": entry([4], [0, 16])}).encode("utf-16")),
    "half a character": crafted({"\ud800": entry([4], [0, 16])}),
    "a name twice": crafted(
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"I32","shape":[4],"data_offsets":[0,16]}}'
    ),
    "a field twice": crafted(b'{"a":{"dtype":"F32","dtype":"I32","shape":[4],"data_offsets":[0,16]}}'),
    "beyond the end": crafted({"a": entry([1000], [0, 4000])}),
    "far beyond the end": crafted({"a": entry([2**60], [0, 2**62])}),
    "below zero": crafted({"a": entry([4], [-16, 0])}),
    "backwards": crafted({"a": entry([4], [16, 0])}),
    "shape too small": crafted({"a": entry([1], [0, 16])}),
    "shape too large": crafted({"a": entry([2**30], [0, 16])}),
    "shape negative": crafted({"a": entry([-4], [0, 16])}),
    "shape negative twice": crafted({"a": entry([-2, -2], [0, 16])}),
    "shape overflows": crafted({"a": entry([2**62, 2**62], [0, 16])}),
    "shape overflows to what fits": crafted({"a": entry([2**32, 2**32, 4], [0, 16])}),
    "shape overflows, then none": crafted({"a": entry([2**32, 2**32, 0], [0, 0])}, b""),
    "shape above 63 bits": crafted({"a": entry([0, 2**63], [0, 0])}, b""),
    "shape of a million": large(lambda: crafted({"a": entry([1] * 600_000, [0, 16])})),
    "shape of text": crafted({"a": entry("4", [0, 16])}),
    "shape of 100,000 digits": crafted(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,16]}}'
    ),
    "offsets no numbers": crafted(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[NaN,Infinity]}}'),
    "offsets fractions": crafted({"a": entry([4], [0.0, 16.0])}),
    "offsets three": crafted({"a": entry([4], [0, 8, 16])}),
    "dtype unknown": crafted({"a": entry([4], [0, 16], "X9")}),
    "dtype of another size": crafted({"a": entry([4], [0, 16], "F64")}),
    "dtype an object": crafted({"a": entry([4], [0, 16], "O")}),
    "overlap": crafted({"a": entry([4], [0, 16]), "b": entry([2], [8, 16])}),
    "the same place twice": crafted({"a": entry([4], [0, 16]), "b": entry([4], [0, 16])}),
    "hole": crafted({"a": entry([2], [8, 16])}),
    "hole in the middle": crafted({"a": entry([1], [0, 4]), "b": entry([1], [12, 16])}),
    "rest": crafted({"a": entry([2], [0, 8])}),
    "an entry no object": crafted({"a": [0, 16]}),
    "metadata a tensor": crafted({"__metadata__": entry([4], [0, 16])}),
    "metadata no texts": crafted({"__metadata__": {"x": 1}, "a": entry([4], [0, 16])}),
    "a million entries": large(lambda: _entries(1_000_000)),
    "many entries and a lie": large(lambda: _entries(33_000)),
    "many lists": large(lambda: crafted(b"[" + b"[]," * 690_000 + b"[]]")),
    "many short texts": large(
        lambda: crafted(b'["' + b'","'.join(b"%03x" % (i % 4096) for i in range(340_000)) + b'"]')
    ),
}

ALIASES: dict[str, Content] = {
    "aliases no JSON": _with("headstart.aliases", "{"),
    "aliases a list": _with("headstart.aliases", "[1]"),
    "aliases deep": _with("headstart.aliases", "[" * 100_000),
    "aliases no texts": _with("headstart.aliases", '{"b": ["a"]}'),
    "aliases to none": _with("headstart.aliases", '{"b": "z"}'),
    "aliases in a circle": _with("headstart.aliases", '{"b": "c", "c": "b"}'),
    "an alias to an alias": _with("headstart.aliases", '{"b": "a", "c": "b"}'),
    "an alias to itself": _with("headstart.aliases", '{"b": "b"}'),
    "an alias that hides a tensor": _with("headstart.aliases", '{"a": "a"}'),
    "an alias twice": _with("headstart.aliases", '{"b": "a", "b": "z"}'),
}


def table(kinds: Any, tensors: dict[str, Any], data: bytes = b"\0" * 16) -> bytes:
    """A file of rows with any metadata."""
    text = kinds if isinstance(kinds, str) else json.dumps(kinds)
    return crafted({"__metadata__": {"headstart.rows": text}, **tensors}, data)


def _texts(offsets: list[int], blob: bytes = b"abcd", kind: str = "text", dtype: str = "I64") -> bytes:
    size = 8 * len(offsets)
    packed = struct.pack(f"<{len(offsets)}{'q' if dtype == 'I64' else 'd'}", *offsets)
    entries = {"0#offsets": entry([len(offsets)], [0, size], dtype)}
    entries["0"] = entry([len(blob)], [size, size + len(blob)], "U8")
    return table([["x", kind]], entries, packed + blob)


def _large_then_lie() -> bytes:
    count = 800_000
    offsets = struct.pack(f"<{count + 1}q", *range(0, 2 * count + 1, 2))
    blob, end = b"ab" * count, 8 * (count + 1)
    entries = {
        "0#offsets": entry([count + 1], [0, end], "I64"),
        "0": entry([2 * count], [end, end + 2 * count], "U8"),
        "1": entry([1], [end + 2 * count, end + 2 * count + 8], "I64"),
    }
    return table([["x", "text"], ["y", "float64"]], entries, offsets + blob + b"\0" * 8)


_INTS = entry([2], [0, 16], "I64")
ROWS: dict[str, Content] = {
    "no metadata": crafted({"0": _INTS}),
    "metadata no JSON": table("[", {"0": _INTS}),
    "metadata a number": table(1, {"0": _INTS}),
    "metadata deep": table("[" * 100_000, {"0": _INTS}),
    "columns that are no pairs": table([["x"]], {"0": _INTS}),
    "columns of numbers": table([1, 2], {"0": _INTS}),
    "a column twice": table([["x", "int64"], ["x", "int64"]], {"0": _INTS}),
    "a kind of Python objects": table([["x", "object"]], {"0": _INTS}),
    "a kind that is a list": table([["x", ["int64"]]], {"0": _INTS}),
    "a kind that lies": table([["x", "float64"]], {"0": _INTS}),
    "text without offsets": table([["x", "text"]], {"0": _INTS}),
    "a tensor too many": table([], {"0": _INTS}),
    "a tensor too few": table([["x", "int64"], ["y", "int64"]], {"0": _INTS}),
    "columns of two lengths": table(
        [["x", "int64"], ["y", "int64"]],
        {"0": entry([1], [0, 8], "I64"), "1": entry([2], [8, 24], "I64")},
        b"\0" * 24,
    ),
    "a single value": table([["x", "int64"]], {"0": entry([], [0, 8], "I64")}, b"\0" * 8),
    "a shape of 70 sides": table([["x", "int64"]], {"0": entry([1] * 70, [0, 8], "I64")}, b"\0" * 8),
    "offsets below zero": _texts([-4, 4]),
    "offsets backwards": _texts([0, 4, 2, 4]),
    "offsets beyond the end": _texts([0, 2**62]),
    "offsets not to the end": _texts([0, 2]),
    "offsets that overflow": _texts([0, 2**63 - 1, -(2**63), 4]),
    "offsets none": _texts([], b""),
    "offsets fractions": _texts([0, 4], dtype="F64"),
    "text no UTF-8": _texts([0, 4], b"\xff\xfe\xfd\xfc"),
    "text cut in a character": _texts([0, 1, 2], "é".encode()),
    "much text and then a lie": large(_large_then_lie),
}

DOCUMENTS: dict[str, Content] = {
    "JSON cut": b'{"lr": ',
    "JSON and more": b'{"lr": 1} {}',
    "not UTF-8": b'{"lr": "\xff"}',
    "UTF-16": '{"lr": 1}'.encode("utf-16"),
    "deep": b"[" * 1_000_000,
    "20 MB deep": large(lambda: b'{"a":' * 4_000_000),
    "NaN": b'{"lr": NaN}',
    "infinity": b'{"lr": -Infinity}',
    "a number beyond all": b'{"lr": 1e999}',
    "100,000 digits": b'{"lr": ' + b"7" * 100_000 + b"}",
    "a name twice": b'{"lr": 1, "lr": 2}',
    "a half escape": b'{"lr": "\\ud8"}',
    "65 MB of lists": large(lambda: b"[" + b"[]," * (22 * 2**20) + b"[]]"),
}
