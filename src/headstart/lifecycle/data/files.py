"""Readers of files: CSV, JSON lines, Parquet and text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.data.frames import from_records, read_arrow
from headstart.lifecycle.data.rows import Rows, float_holds

__all__ = ["read_csv", "read_jsonl", "read_parquet", "read_text"]

# Text is cut into rows of about so many characters, at blank lines.
_BLOCK = 1000
# A cell of more characters is no number; Python itself refuses to convert whole numbers over 4,300 digits.
_LONGEST_NUMBER = 400


def read_csv(path: Path) -> Rows:
    """A CSV file with a header, separated by comma, semicolon or tab.

    Space around a cell is dropped. A column of numbers becomes int64 or float64 (empty cells NaN);
    anything else stays text, and so do numbers with leading zeros and whole numbers too large to be
    kept exactly.
    """
    text = _utf8(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(text)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(
            "the file is no valid CSV",
            where=str(path),
            got=str(error),
            fix=f"check for a quote that is never closed, or a cell over {csv.field_size_limit()} characters",
        ) from error
    records = [record for record in records if record]
    header = [name.strip() for name in records[0]] if records else []
    if not header or len(set(header)) != len(header) or not all(header):
        raise InputError(
            "the header needs one name of its own for each column",
            where=f"{path}, line 1",
            got=", ".join(header) or "no line",
            fix="give every column a name that is used once",
        )
    for number, record in enumerate(records[1:], start=1):
        if len(record) != len(header):
            raise InputError(
                f"a row has {len(record)} cells, the header has {len(header)}",
                where=f"{path}, row {number}",
                got=separator.join(record)[:120],
                fix="give every row as many cells as the header; quote cells that hold the separator",
            )
    if len(records) == 1:
        raise InputError("there are no rows", where=str(path), got="a header only", fix="hand in rows")
    cells = zip(*records[1:], strict=True)
    return Rows({name: _typed(values) for name, values in zip(header, cells, strict=True)}, str(path))


def read_jsonl(path: Path) -> Rows:
    """One JSON object a line, all with the same keys."""
    records = []
    for number, line in enumerate(_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InputError(
                "a line is no valid JSON",
                where=f"{path}, line {number}",
                got=f"{line[:80]} ({error})",
                fix="write one JSON object on each line",
            ) from error
        if not isinstance(value, dict):
            raise InputError(
                "a line is no JSON object",
                where=f"{path}, line {number}",
                got=line[:80],
                fix='write objects, for example {"text": "...", "label": 1}',
            )
        records.append(value)
    if not records:
        raise InputError("there are no rows", where=str(path), got="blank lines", fix="hand in rows")
    return from_records(records, str(path))


def read_parquet(path: Path) -> Rows:
    """A Parquet file: numbers, strings, bytes, fixed-size lists, and image structs with their bytes."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "reading Parquet needs pyarrow",
            where=str(path),
            got="not installed",
            fix="pip install 'headstart[data]'",
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(
            "the file is no valid Parquet",
            where=str(path),
            got=str(error).splitlines()[0],
            fix="write it again, or hand in another format",
        ) from error
    return read_arrow(table, str(path))


def read_text(path: Path) -> Rows:
    """Plain text: blocks of about 1,000 characters, cut at blank lines, as the column ``text``.

    Joined by blank lines the blocks are the file again.
    """
    text = _utf8(path)
    if not text.strip():
        raise InputError("there are no rows", where=str(path), got="blank lines", fix="hand in text")
    blocks: list[str] = []
    for paragraph in text.split("\n\n"):
        # No block of fewer than two characters: a language model predicts nothing there.
        short = bool(blocks) and min(len(blocks[-1]), len(paragraph)) < 2
        if short or (blocks and len(blocks[-1]) + len(paragraph) <= _BLOCK):
            blocks[-1] += "\n\n" + paragraph
        else:
            blocks.append(paragraph)
    array = np.empty(len(blocks), dtype=object)
    array[:] = blocks
    return Rows({"text": array}, str(path))


def _utf8(path: Path) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(
            "the file is not UTF-8 text",
            where=f"{path}, line {line}, byte {error.start}",
            got=repr(raw[error.start : error.start + 4]),
            fix="save it as UTF-8",
        ) from error
    if "\x00" in text:
        raise InputError(
            "the file holds NUL bytes, so it is no text",
            where=f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}",
            got="byte 0",
            fix="save it as UTF-8 text (UTF-16 looks like this), or correct its ending",
        )
    return text.replace("\r\n", "\n")


def _separator(text: str) -> str:
    line = text.split("\n", 1)[0]
    return max(",;\t", key=lambda mark: (line.count(mark), mark == ","))


def _typed(cells: Iterable[str]) -> np.ndarray[Any, Any]:
    values = [cell.strip() for cell in cells]
    filled = [value for value in values if value]
    if filled and all(_plain_number(value) for value in filled):
        if len(filled) == len(values) and all(_whole(value) for value in values):
            return np.array([int(value) for value in values], dtype=np.int64)
        if all(float_holds(int(value)) for value in filled if _digits(value)):
            return np.array([float(value) if value else np.nan for value in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _plain_number(value: str) -> bool:
    digits = value.lstrip("+-")
    if (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()) or "_" in value:
        return False
    if len(digits) > _LONGEST_NUMBER:
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _digits(value: str) -> bool:
    digits = value.lstrip("+-")
    return digits.isascii() and digits.isdecimal()


def _whole(value: str) -> bool:
    return _digits(value) and -(2**63) <= int(value) < 2**63


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
