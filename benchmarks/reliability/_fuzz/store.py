"""Stores with damaged, foreign and missing contents: files, folders, rows and pages."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.reliability._fuzz.driver import Case
from benchmarks.reliability._fuzz.scratch import Scratch, base_store, remove
from benchmarks.reliability._fuzz.values import bytes_of, damaged, text

__all__ = ["Stores", "prepare"]

TABLES = ("headstart", "versions", "aliases", "events", "arrivals", "records")
# A verb, and how often it is tried.
_VERBS = (
    *((("log",), 3), (("log", "--json"), 1), (("show",), 2), (("show", "ID"), 2), (("show", "--json"), 1)),
    *(
        (("doctor", "--verify"), 2),
        (("doctor", "--verify", "--json"), 1),
        (("promote", "ID", "--reason", "x"), 3),
    ),
    *(
        (("rollback",), 2),
        (("rollback", "--to", "ID"), 2),
        (("gate", "--candidate", "ID"), 3),
        (("report",), 3),
    ),
    *((("update", "--quiet", "--data", "later.csv"), 1), (("update", "--quiet", "--seed", "7"), 1)),
)


def prepare(folder: Path) -> functools.partial[Stores]:
    """The sound store, made once for all children."""
    base = base_store(folder / "base")
    ids = sorted(path.name for path in (base / "store" / "versions").iterdir())
    return functools.partial(Stores, base=base, ids=ids)


class Stores:
    """Damages a copy of a sound store, and runs a verb on it."""

    def __init__(self, folder: Path, *, base: Path, ids: list[str]) -> None:
        self.ids = ids
        self.scratch = Scratch(folder, base)

    def case(self, random: Random) -> Case:
        """One damaged store."""
        store = self.scratch.folder / "store"
        done = []
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            name = random.choice(list(_HARM))
            # An accident may meet what the one before left: no file, no table, no JSON.
            with contextlib.suppress(OSError, sqlite3.Error, LookupError, ValueError):
                done.append(f"{name} {_HARM[name](random, store)}")
        words, _ = random.choices(_VERBS, [often for _, often in _VERBS])[0]
        words = tuple(random.choice(self.ids) if word == "ID" else word for word in words)
        called, problem = self.scratch.call(words, traceless=False)
        kind = done[0].partition(" ")[0] if done else "nothing"
        return Case(kind, f"{words[0]}, exit {called.code}", f"{problem} after {done}" if problem else None)


def _entries(random: Random, store: Path, folders: bool) -> Path:
    found = sorted(store.rglob("*"))
    return random.choice(
        [path for path in found if (path.is_dir() if folders else path.is_file())] or [store]
    )


def _file_damaged(random: Random, store: Path) -> str:
    """Bytes of a file; the file is another one then, for the first is shared with other copies."""
    path = _entries(random, store, folders=False)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(random.choice((damaged(random, data), bytes_of(random), b"", data * 2)))
    return str(path.relative_to(store))


def _file_replaced(random: Random, store: Path) -> str:
    path = _entries(random, store, folders=random.random() < 0.3)
    kind = random.choice(("gone", "folder", "dangling", "loop", "endless", "pipe", "elsewhere"))
    remove(path)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "gone":
        os.symlink(
            {"dangling": "nowhere", "loop": path.name, "endless": "/dev/zero", "elsewhere": ".."}[kind], path
        )
    return f"{path.relative_to(store)}: {kind}"


def _renamed(random: Random, store: Path) -> str:
    path = _entries(random, store, folders=random.random() < 0.5)
    names = ("x", "0" * 16, ".tmp-x", ".tmp-0-1-2", path.name.upper(), path.name + "~")
    target = path.with_name(random.choice(names))
    os.rename(path, target)
    return f"{path.relative_to(store)} to {target.name}"


def _foreign(random: Random, store: Path) -> str:
    folder = _entries(random, store, folders=True)
    name = random.choice(
        ("x", "0" * 16, ".tmp-x", "manifest.json", "store.db-wal", "store.db-journal", "é", "\udcff")
    )
    if random.random() < 0.3:
        (folder / name).mkdir(exist_ok=True)
    else:
        remove(folder / name)
        (folder / name).write_bytes(bytes_of(random))
    return f"{folder.relative_to(store)}/{name!a}"


def _document(random: Random, store: Path) -> str:
    """A JSON file in which one value is another one."""
    path = random.choice([path for path in sorted(store.rglob("*.json")) if path.is_file()])
    value = json.loads(path.read_bytes())
    inner: Any = value
    while True:
        key = random.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], (dict, list)) or not inner[key] or random.random() < 0.4:
            break
        inner = inner[key]
    inner[key] = _odd(random)
    path.unlink()
    path.write_text(json.dumps(value), encoding="utf-8", errors="surrogatepass")
    return f"{path.relative_to(store)} at {key}"


def _odd(random: Random) -> Any:
    deep: Any = []
    for _ in range(random.choice((1, 300))):
        deep = [deep]
    values = (
        None,
        True,
        0,
        -1,
        2**70,
        1e308,
        float("nan"),
        "",
        "../x",
        "/etc",
        {},
        {"a": 1},
        [],
        deep,
        text(random),
    )
    return random.choice(values)


def _row_changed(random: Random, store: Path) -> str:
    table = random.choice(TABLES)
    with _database(store) as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column, value = random.choice(columns), _cell(random)
        where = (
            f"rowid = (SELECT rowid FROM {table} ORDER BY random() LIMIT 1)" if random.random() < 0.9 else "1"
        )
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
    return f"{table}.{column} = {str(value)[:40]!r}"


def _cell(random: Random) -> Any:
    plain = (
        None,
        0,
        -1,
        2**62,
        1.5,
        1e308,
        float("inf"),
        b"\x00\xff",
        "",
        "x",
        "champion",
        "0" * 16,
        "../../x",
        "[",
    )
    documents = (
        json.dumps(_odd(random)),
        '{"verdict": 1}',
        '{"version": null}',
        '["x"]',
        "[" * 3000,
        "9" * 5000,
        "nan",
    )
    return random.choice((*plain, *documents, text(random).encode("utf-8", "replace").decode()))


def _row_gone(random: Random, store: Path) -> str:
    table = random.choice(TABLES)
    with _database(store) as connection:
        some = "" if random.random() < 0.3 else f"WHERE rowid = (SELECT max(rowid) FROM {table})"
        connection.execute(f"DELETE FROM {table} {some}")
    return table


def _row_added(random: Random, store: Path) -> str:
    table = random.choice(TABLES)
    with _database(store) as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "number"]
        marks = ", ".join("?" * len(columns))
        values = [_cell(random) for _ in columns]
        connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)
    return table


def _table_changed(random: Random, store: Path) -> str:
    table = random.choice(TABLES)
    change = random.choice(
        (
            f"DROP TABLE {table}",
            f"ALTER TABLE {table} RENAME TO x",
            f"ALTER TABLE {table} ADD COLUMN x TEXT",
            f"CREATE VIEW x AS SELECT * FROM {table}",
            f"CREATE TRIGGER x BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END",
            "PRAGMA user_version = 99",
            "PRAGMA application_id = 99",
            f"CREATE TABLE x AS SELECT * FROM {table}",
        )
    )
    with _database(store) as connection:
        connection.execute(change)
    return change


def _page(random: Random, store: Path) -> str:
    """Bytes of the database file itself."""
    path = _whole(store)
    data = bytearray(path.read_bytes())
    kind = random.choice(("page", "page", "head", "byte", "byte", "cut", "text", "other"))
    if kind == "page" and data:
        begin = random.randrange(max(1, len(data) // 4096)) * 4096
        data[begin : begin + 4096] = random.choice((random.randbytes(4096), bytes(4096)))
    elif kind == "head":
        data[random.randrange(100)] = random.randrange(256)
    elif kind == "byte":
        for _ in range(random.randint(1, 50)):
            data[random.randrange(len(data))] = random.randrange(256)
    elif kind == "cut":
        del data[random.randrange(len(data)) :]
    elif kind == "text":
        data[:] = b"this is no database\n" * random.choice((1, 500))
    path.unlink()
    path.write_bytes(bytes(data))
    if kind == "other":
        path.unlink()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE somebody (x)")
    return kind


def _swapped(random: Random, store: Path) -> str:
    """Two files in each other's place."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    one, other = random.sample(files, 2)
    shutil.move(one, store / "between")
    shutil.move(other, one)
    shutil.move(store / "between", other)
    return f"{one.relative_to(store)} and {other.relative_to(store)}"


@contextlib.contextmanager
def _database(store: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(_whole(store), timeout=1)) as connection, connection:
        yield connection


def _whole(store: Path) -> Path:
    """The database's file; a pipe in its place would never be read to its end."""
    if not (store / "store.db").is_file():
        raise FileNotFoundError(store)
    return store / "store.db"


_HARM: dict[str, Callable[[Random, Path], str]] = {
    "file-damaged": _file_damaged,
    "file-replaced": _file_replaced,
    "renamed": _renamed,
    "foreign": _foreign,
    "document": _document,
    "row-changed": _row_changed,
    "row-changed-again": _row_changed,
    "row-gone": _row_gone,
    "row-added": _row_added,
    "table-changed": _table_changed,
    "database-bytes": _page,
    "database-bytes-again": _page,
    "swapped": _swapped,
}
