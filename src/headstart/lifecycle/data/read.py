"""One reader for everything a user may hand in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows

__all__ = ["read"]


def read(data: Any, *, source: str | None = None) -> Rows:
    """Any supported data as rows.

    Args:
        data: a path (CSV, TSV, JSON lines, Parquet, text, or a folder of class folders of images), a
            mapping of columns, a list of mappings, a pair (X, y) (columns ``x`` and ``y``), a pandas,
            polars or Arrow frame, a map-style ``torch.utils.data.Dataset``, or rows.
        source: name for messages.

    Raises:
        InputError: the data cannot be read; names the place.
    """
    if isinstance(data, Rows):
        rows = data
    elif isinstance(data, (str, Path)):
        rows = _read_path(data)
    else:
        rows = _read_object(data, source or "memory")
    if source is not None:
        rows = Rows(rows.columns, source)
    if len(rows) == 0:
        raise InputError("there are no rows", where=rows.source, got="0 rows", fix="hand in at least one row")
    return rows


def _read_path(data: str | Path) -> Rows:
    try:
        return _read_file(Path(data), str(data))
    except OSError as error:
        raise InputError(
            "the file or folder cannot be read",
            where="data",
            got=f"{str(data)[:80]}: {error.strerror or error}",
            fix="check the path, its permissions and the disk",
        ) from error


def _read_file(path: Path, name: str) -> Rows:
    from headstart.lifecycle.data import files, images

    readers: dict[str, Callable[[Path], Rows]] = {
        ".csv": files.read_csv,
        ".tsv": files.read_csv,
        ".jsonl": files.read_jsonl,
        ".ndjson": files.read_jsonl,
        ".parquet": files.read_parquet,
        ".txt": files.read_text,
    }
    if not name or "\x00" in name or not path.exists():
        raise InputError(
            "there is no such file or folder",
            where="data",
            got=name or "an empty name",
            fix="check the path and its spelling",
        )
    if path.is_dir():
        return images.read_folder(path)
    if not path.is_file():
        raise InputError(
            "this is neither a file nor a folder", where="data", got=name, fix="give a regular file"
        )
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            "the format is not known by this ending",
            where=name,
            got=path.suffix or "no ending",
            fix=f"use one of: {', '.join(readers)}, or a folder of class folders of images",
        )
    if path.stat().st_size == 0:
        raise InputError("the file is empty", where=name, got="0 bytes", fix="hand in a file with rows")
    return reader(path)


def _read_object(data: Any, source: str) -> Rows:
    from headstart.lifecycle.data import frames

    def table(columns: Mapping[Any, Any]) -> Rows:
        return Rows({str(n): frames.column_of(str(n), v, source) for n, v in columns.items()}, source)

    if isinstance(data, Mapping):
        return table(data)
    if frames.is_frame(data):
        return frames.read_frame(data, source)
    if isinstance(data, Sequence) and data and all(isinstance(item, Mapping) for item in data):
        return frames.from_records(data, source)
    if isinstance(data, tuple) and len(data) == 2 and all(hasattr(part, "__len__") for part in data):
        return table({"x": data[0], "y": data[1]})
    listed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if listed and not isinstance(data, (tuple, list, str, bytes, np.ndarray)):
        return frames.read_dataset(data, source)
    raise InputError(
        "these data are of no kind that can be read",
        where=source,
        got=type(data).__name__,
        fix="give a path, a mapping of columns, a pair (X, y), a frame or a map-style torch Dataset",
    )
