"""Headers of safetensors files, read with care before anything is built from them.

A header says what to build, and building from it takes up to 24 times its size; so it may take a small
part of its file only. A name that stands twice is refused: readers differ in which one they take.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.errors import CorruptionError, InputError

__all__ = ["check_header", "metadata", "read_header", "unique"]

_METADATA = "__metadata__"
_LARGEST, _SHARE = 2 * 2**20, 16


def read_header(path: Path) -> dict[str, Any]:
    """A file's header: the entries of its tensors, by name.

    Raises:
        CorruptionError: the file has none, it is too large for its file, or a name stands twice.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if length > min(_limit(size), size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=unique)
        if not isinstance(header, dict):
            raise ValueError("a header that is no mapping")
        return header
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptionError(
            str(path), expected="a safetensors file", found=f"{type(error).__name__}: {error}"
        ) from error


def metadata(header: dict[str, Any], key: str) -> str:
    """The text under a key of a header's metadata; empty when there is none."""
    texts = header.get(_METADATA)
    text = texts.get(key) if isinstance(texts, dict) else None
    return text if isinstance(text, str) else ""


def check_header(path: Path) -> None:
    """Refuses a file just written whose header is too large to be read again.

    Raises:
        InputError: it holds too many tensors for so few values.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _limit(path.stat().st_size):
        raise InputError(
            "there are too many names for so few values",
            where=path.name,
            got=f"{length} bytes of names",
            fix=f"give fewer tensors or columns, or shorter names: {_LARGEST} bytes of names are always taken",
        )


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, as a hook of the parser.

    Raises:
        InputError: a name stands in it twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError(
            "a name stands twice in a JSON object",
            where="JSON",
            got=", ".join(sorted(found))[:200],
            fix="restore the file from a copy",
        )
    return found


def _limit(size: int) -> int:
    return max(_LARGEST, size // _SHARE)
