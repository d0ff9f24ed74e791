"""Reading what anybody may have written: strict JSON, and the headers of safetensors files.

Readers differ in what they make of a name that stands twice or a number that is none, so both are
refused. A header says what to build, and building from it takes up to 24 times its size; so it may be a
small part of its file only.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from headstart.errors import CorruptionError, InputError

__all__ = ["check_header", "metadata", "parse_json", "read_header"]

_METADATA = "__metadata__"
_LARGEST_HEADER, _SHARE = 2 * 2**20, 16


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text: UTF-8, every name once, every number finite.

    Raises:
        InputError: it is none.
    """
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise InputError(
            "this is no JSON",
            where="JSON",
            got=f"{type(error).__name__}: {error}",
            fix="restore the file from a copy",
        ) from error


def read_header(path: Path) -> dict[str, Any]:
    """A safetensors file's header: the entries of its tensors by name, and its metadata.

    Raises:
        CorruptionError: the file has none, it is too large for its file, or a name stands twice.
    """
    try:
        with open(path, "rb") as file:
            length, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
            if length > min(_limit(size), size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = parse_json(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("a header that is no object")
    except (OSError, ValueError) as error:
        raise CorruptionError(
            str(path), expected="a safetensors file", found=f"{type(error).__name__}: {error}"
        ) from error
    return header


def metadata(header: dict[str, Any], key: str) -> Any:
    """The JSON value under a key of a header's metadata; None when there is none.

    Raises:
        InputError: what stands there is no JSON.
    """
    texts = header.pop(_METADATA, None)
    text = texts.get(key) if isinstance(texts, dict) else None
    return parse_json(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else None


def check_header(path: Path) -> None:
    """Refuses a file just written whose header could not be read again.

    Raises:
        InputError: it holds too many names for so few values.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _limit(path.stat().st_size):
        raise InputError(
            "there are too many names for so few values",
            where=path.name,
            got=f"{length} bytes of names",
            fix=f"give fewer or shorter ones; up to {_LARGEST_HEADER} bytes are always taken",
        )


def _limit(size: int) -> int:
    return max(_LARGEST_HEADER, size // _SHARE)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no finite number")
    return value
