"""Data files of every format: bytes, damaged files, and tables of everything that a format can hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.reliability._fuzz.driver import Case, described, unclear
from benchmarks.reliability._fuzz.images import folder_of_images
from benchmarks.reliability._fuzz.parquet import parquet
from benchmarks.reliability._fuzz.scratch import Scratch, remove
from benchmarks.reliability._fuzz.tables import lay_out, table
from benchmarks.reliability._fuzz.values import bytes_of, damaged, number, spliced, text
from headstart.errors import HeadstartError, UserCodeError
from headstart.lifecycle.data.read import read
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.data.split import split
from headstart.lifecycle.tasks import Task, task_from_config

__all__ = ["Data"]

_ROW = 25  # one case in so many runs a whole verb
_NAMES = ("label", "text", "a", "b", "image", "old", "new", "group", "x y", "é", "")


class Data:
    """Writes a file or a folder, reads it, and makes examples of it for tasks of every kind."""

    def __init__(self, folder: Path) -> None:
        lay_out(folder / "base")
        self.scratch = Scratch(folder, folder / "base")

    def case(self, random: Random) -> Case:
        """One file."""
        form = random.choice(list(_FORMS))
        made, path = self._write(random, form)
        kind = f"{form}, {made}"
        try:
            if random.randrange(_ROW) == 0:
                return self._verb(random, kind, path)
            try:
                rows = read(path)
                split(rows, salt="x", fractions=(0.6, 0.2, 0.2))
                rows.digest()
            except HeadstartError as error:
                return Case(kind, type(error).__name__, unclear(error))
            except BaseException as error:
                return Case(kind, "escaped", f"{described(error)} for {_shown(path)}")
            problem = _learned(random, rows)
            return Case(kind, "read", f"{problem} for {_shown(path)}" if problem else None)
        finally:
            remove(path)

    def _write(self, random: Random, form: str) -> tuple[str, Path]:
        path = self.scratch.folder / f"fuzzed{form}"
        if form == "":
            return folder_of_images(random, path), path
        make = _FORMS[form]
        choice = random.random()
        made = "bytes" if choice < 0.1 else "damaged" if choice < 0.35 else "grammar"
        path.write_bytes(bytes_of(random) if made == "bytes" else make(random, made == "damaged"))
        return made, path

    def _verb(self, random: Random, kind: str, path: Path) -> Case:
        name = path.name
        verb = random.choice(("update", "update", "init", "gate"))
        if verb == "update":
            task = random.choice(_TASKS)
            words = [verb, "--quiet", "--data", name, "--steps", "2", "--set", f"task={_inline(task)}"]
        elif verb == "init":
            words = [
                verb,
                "made",
                "--data",
                name,
                *random.choice(([], ["--target", "label"], ["--target", "a"])),
            ]
        else:
            words = [verb, name]
        shown = _shown(path)
        called, problem = self.scratch.call(words)
        return Case(f"{kind}, {verb}", f"exit {called.code}", f"{problem} for {shown}" if problem else None)


# What is tried on every table; names that a table lacks are an error like any other.
_TASKS: tuple[dict[str, Any], ...] = (
    {"kind": "tabular-classification", "hidden": [2]},
    {"kind": "tabular-classification", "hidden": [2], "missing": "mean", "allow_new_classes": True},
    {"kind": "tabular-classification", "target": "a", "columns": ["b"], "slices": ["label"], "hidden": [2]},
    {"kind": "tabular-classification", "group": "a", "hidden": [2]},
    {"kind": "tabular-regression", "target": "a", "hidden": [2]},
    {"kind": "tabular-regression", "target": "label", "missing": "mean", "hidden": [2]},
    {"kind": "text-classification", "features": 8, "hidden": [2]},
    {
        "kind": "text-classification",
        "text": "a",
        "target": "b",
        "features": 8,
        "ngrams": [1, 5],
        "hidden": [2],
    },
    {"kind": "image-classification", "model": "mlp"},
    {"kind": "image-classification", "size": 4, "model": "mlp"},
    {"kind": "image-classification", "image": "a", "size": 4, "model": "mlp"},
    {"kind": "language-model", "context": 4, "width": 4, "depth": 1},
    {"kind": "language-model", "text": "a", "context": 2, "width": 4, "depth": 1, "max_unknown": 1.0},
)


def _learned(random: Random, rows: Rows) -> str | None:
    """Schema, check and examples of the table under a few tasks: they work, or the table is refused."""
    for options in random.sample(_TASKS, 3):
        task: Task = task_from_config(**options)
        try:
            schema = task.infer(rows)
            task.check(rows, schema)
            part = rows.take(range(0, len(rows), 2))
            task.encode(part, task.check(part, schema))
        except UserCodeError as error:  # the built-in tasks are no user's code
            return f"{described(error.__cause__ or error)} in {options}"
        except HeadstartError as error:
            if said := unclear(error):
                return said
        except BaseException as error:
            return f"{described(error)} in {options}"
    return None


def _csv(random: Random, damage: bool) -> bytes:
    if damage and random.random() < 0.7:
        return damaged(random, table(random.randint(1, 8), random.randrange(9)).encode())
    mark = random.choice(",,,;\t")
    width = random.randint(1, 4)
    cells: list[Callable[[], str]] = [
        random.choice(
            (lambda: number(random), lambda: text(random), lambda: random.choice(("0", "1", "2", "")))
        )
        for _ in range(width)
    ]
    head = random.sample(_NAMES[:-3], width) if random.random() < 0.9 else random.choices(_NAMES, k=width)
    lines = [mark.join(head)]
    for _ in range(random.randint(0, 9)):
        some = cells if random.random() < 0.97 else cells[1:]
        lines.append(mark.join(_quoted(random, cell(), mark) for cell in some))
    if damage:
        lines = spliced(random, lines)
    body = (
        random.choice(("\n", "\n", "\r\n", "\r", "\n\n")).join(lines)
        + random.choice(("", "\n", "\n\n", '"'))[:2]
    )
    raw = body.encode("utf-8", "surrogatepass")
    return random.choice((b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe")) + raw


def _quoted(random: Random, cell: str, mark: str) -> str:
    if random.random() < 0.9 and any(c in cell for c in f'{mark}"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return f'"{cell}"' if random.random() < 0.03 else cell


def _json_lines(random: Random, damage: bool) -> bytes:
    names = random.sample(_NAMES, random.randint(1, 4))
    makers = [random.choice(_JSON) for _ in names]
    lines = []
    for _ in range(random.randint(0, 8)):
        odd = random.random() < 0.03
        values = {
            n: (random.choice(_JSON) if odd else make)(random) for n, make in zip(names, makers, strict=True)
        }
        lines.append(json.dumps(values, ensure_ascii=random.random() < 0.5))
    if random.random() < 0.1:
        lines.append(
            random.choice(("[" * 3000, '{"a":' * 3000, "1", "null", "[]", "{}", '{"label": 1e999}', "nan"))
        )
        lines.append('{"label": ' + number(random) + "}")
    data = "\n".join(spliced(random, lines) if damage else lines).encode("utf-8", "surrogatepass")
    return damaged(random, data) if damage and random.random() < 0.7 else data


def _nested(random: Random, depth: int) -> Any:
    if depth == 0:
        return random.choice((0, 1, 255, 256, -1, 0.5, 1e308, 2**63, 2**70, True, None, "a"))
    inner = _nested(random, depth - 1)
    return [
        inner if random.random() < 0.98 else _nested(random, depth - 1) for _ in range(random.randint(0, 3))
    ]


_SHAPES = (
    [1, 2],
    [0.5, -1.0, 3.0],
    [[1, 2], [3, 4]],
    [[[0, 255, 3]]],
    [],
    [[]],
    [True, False],
    ["a", "b"],
    [None],
)
_JSON: tuple[Callable[[Random], Any], ...] = (
    lambda random: random.choice((0, 1, 2)),
    lambda random: random.choice(("yes", "no")),
    lambda random: random.gauss(0, 1),
    lambda random: random.choice((1, 0.5, -3, None)),
    lambda random: random.choice((2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 1, 1e308, 5e-324)),
    lambda random: random.choice((True, False)),
    lambda random: text(random),
    lambda random: "two words " + text(random, 40),
    lambda random: None,
    lambda random: random.choice(_SHAPES),
    lambda random: [random.random() for _ in range(3)],
    lambda random: [[random.randrange(256)] * 3] * 2,
    lambda random: _nested(random, random.randint(1, 4)),
    lambda random: {"a": 1, "b": text(random)},
    lambda random: {"bytes": text(random), "path": None},
)


def _plain(random: Random, damage: bool) -> bytes:
    parts = [
        random.choice((text(random, 60), "a b c. " * random.randint(1, 300)))
        for _ in range(random.randint(0, 9))
    ]
    raw = random.choice(("\n\n", "\n", "\r\n\r\n", " ")).join(parts).encode("utf-8", "surrogatepass")
    return damaged(random, raw) if damage else raw.replace(b"\x00", b"")


_FORMS: dict[str, Callable[[Random, bool], bytes]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": parquet,
    ".txt": _plain,
    "": _plain,  # a folder of images, which is made elsewhere
}


def _inline(options: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()) + "}"


def _shown(path: Path) -> str:
    if path.is_dir():
        return str(sorted(os.path.relpath(place, path) for place in path.rglob("*"))[:8])
    data = path.read_bytes()
    return f"{len(data)} bytes of {path.suffix}: {data[:600]!r}"
