"""The corpus: every content in every place that reads it, manifests, links, addresses, rows, references."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import sqlalchemy as sa

from benchmarks.reliability._hostile import forged
from benchmarks.reliability._hostile.files import (
    ALIASES,
    DOCUMENTS,
    ROWS,
    STRANGERS,
    TENSORS,
    Content,
    large,
    sparse,
)
from benchmarks.reliability._hostile.forged import SECRET, away, execute, sound
from benchmarks.reliability._hostile.trial import Case
from headstart.errors import StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import Opened
from headstart.lifecycle.store import Store

_ZEROS = "0" * 64
_KNOWN = {"sha256": hashlib.sha256(SECRET.encode()).hexdigest(), "size": len(SECRET)}


def corpus() -> list[Case]:
    """All cases."""
    return [*_contents(), *_manifests(), *_links(), *_addresses(), *_references(), *_rows()]


def _contents() -> Iterator[Case]:
    """Every content in every place whose reader it is meant for."""
    version = ("version", forged.forged_version, forged.use_version)
    checkpoint = ("checkpoint", forged.forged_checkpoint, forged.use_checkpoint)
    arrival = ("arrival", forged.forged_arrival, forged.use_arrival)
    places: list[tuple[dict[str, Content], str, Any]] = [
        (STRANGERS | TENSORS | ALIASES, "model.safetensors", version),
        (STRANGERS | TENSORS | ALIASES, "tensors.safetensors", checkpoint),
        (STRANGERS | TENSORS | ALIASES, "sides.safetensors", arrival),
        (STRANGERS | TENSORS | ROWS, "rows.safetensors", arrival),
        (STRANGERS | DOCUMENTS, "plan.json", version),
        (STRANGERS | DOCUMENTS | {"no object": b"[]"}, "state.json", checkpoint),
    ]
    for contents, file, (name, prepare, attempt) in places:
        for kind, content in contents.items():
            made = functools.partial(_forge, prepare, {file: content})
            yield Case(name=f"{name}, {file}: {kind}", prepare=made, attempt=attempt)


def _forge(prepare: Callable[..., Path], files: dict[str, Content], folder: Path) -> None:
    prepare(folder, files)


NAMES = [
    "../../../outside/secret.txt", "../secret", "a/../../b", "/nowhere/passwd", "//nowhere/passwd", "a/b",
    "..\\..\\a", "C:\\a", "C:a", ".", "..", "", " ", "-rf", ".hidden", "~", "$HOME", "a\x00b", "a\nb", "a b",
    "a:b", "a" * 5000, "a.", "\u2025/a", "\uff0e\uff0e\uff0fa", "\u2215etc\u2215passwd", "\u202egnp.exe",
    "\u0430.json", "%2e%2e%2fa", "\x1b[2Ja", "CON", "nul.json", "Aux.safetensors", "com1", "LPT9.txt",
    "manifest.json", "MANIFEST.JSON", "file:///nowhere/passwd",
]  # fmt: skip


def _manifest(**files: Any) -> dict[str, Any]:
    return {"format": 1, "kind": "version", "parents": [], "files": files}


def _one(**changes: Any) -> dict[str, Any]:
    """A manifest of one file that is there, with something of its entry changed."""
    return _manifest(**{"note.txt": {**_KNOWN, **changes}})


MANIFESTS: dict[str, Any] = {
    **{f"name {name[:40]!r}": _manifest(**{name: _KNOWN}) for name in NAMES},
    "names that differ in case": _manifest(**{"a.json": _KNOWN, "A.json": _KNOWN}),
    "a name twice": b'{"format": 1, "kind": "version", "parents": [], "files": {"a": {}, "a": {}}}',
    "nothing": b"",
    "no JSON": b"{",
    "a list": [],
    "a text": "x",
    "null": None,
    "deep": b'{"files":' + b"[" * 100_000,
    "NaN": b'{"format": NaN, "kind": "version", "parents": [], "files": {}}',
    "100,000 digits": b'{"format": ' + b"1" * 100_000 + b', "kind": "version", "parents": [], "files": {}}',
    "not UTF-8": b'{"format": 1, "kind": "version", "parents": [], "files": {}, "x": "\xff"}',
    "UTF-16": json.dumps(_manifest()).encode("utf-16"),
    "a pickle": STRANGERS["a pickle"],
    "a zip bomb": STRANGERS["a zip bomb"],
    "no files": {"format": 1, "kind": "version", "parents": []},
    "no format": {"kind": "version", "parents": [], "files": {}},
    "format no number": {**_manifest(), "format": "1"},
    "format true": {**_manifest(), "format": True},
    "format below one": {**_manifest(), "format": -1},
    "format to come": {**_manifest(), "format": 10**9},
    "files a list": {**_manifest(), "files": [_KNOWN]},
    "files a text": {**_manifest(), "files": "a"},
    "no parents": {"format": 1, "kind": "version", "files": {}},
    "parents a number": {**_manifest(), "parents": 1},
    "parents lists": {**_manifest(), "parents": [["a"]]},
    "an arrival": {"format": 1, "kind": "arrival", "files": {}, "digest": _ZEROS},
    "an entry a text": _manifest(**{"note.txt": "x"}),
    "an entry null": _manifest(**{"note.txt": None}),
    "no size": _manifest(**{"note.txt": {"sha256": _KNOWN["sha256"]}}),
    "no digest": _manifest(**{"note.txt": {"size": _KNOWN["size"]}}),
    "size below zero": _one(size=-1),
    "size too small": _one(size=1),
    "size too large": _one(size=2**80),
    "size true": _one(size=True),
    "size a fraction": _one(size=float(len(SECRET))),
    "size a list": _one(size=[len(SECRET)]),
    "digest short": _one(sha256="0"),
    "digest no hex": _one(sha256="z" * 64),
    "digest of another": _one(sha256=_ZEROS),
    "digest a number": _one(sha256=1),
    "digest a list of 64": _one(sha256=["0"] * 64),
    "digest an object of 64": _one(sha256={str(i): 0 for i in range(64)}),
    "a million entries": large(
        lambda: b'{"files": {' + b",".join(b'"%d":{"sha256":"","size":0}' % i for i in range(10**6)) + b"}}"
    ),
    "many lists": large(lambda: b'{"files": [' + b"[]," * 345_000 + b"[]]}"),
    "200 MB of nothing": sparse(200 * 2**20),
}


def _manifests() -> Iterator[Case]:
    for kind, manifest in MANIFESTS.items():

        def prepare(folder: Path, manifest: Any = manifest) -> None:
            store = sound(folder)
            made = forged.raw_folder(store.places.versions, manifest)
            (made / "note.txt").write_text(SECRET, encoding="utf-8")
            forged.version_row(store, made.name)

        yield Case(name=f"manifest: {kind}", prepare=prepare, attempt=_read_all)


def _read_all(folder: Path) -> None:
    store = Store(folder / "store")
    version = store.version(store.version_ids()[-1])
    Opened(version.path, version.manifest).check()


def _socket(path: Path, _old: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # an address of a socket may not be long
        made.bind(path.name)


def _as_long(old: Path) -> str:
    """A path that has as many characters as its file has bytes, where it can: a link's size is its length."""
    return "/" * max(0, min(4000, old.stat().st_size) - len(str(old))) + str(old)


# What may stand in a file's or folder's place; what was there lies beside the store now.
THINGS: dict[str, Callable[[Path, Path], None]] = {
    "a link to what was there": lambda path, old: path.symlink_to(_as_long(old)),
    "a link to a device": lambda path, old: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path, old: path.symlink_to(path.name),
    "a link to nothing": lambda path, old: path.symlink_to("nowhere"),
    "a hard link to a secret": lambda path, old: os.link(old.parent / "secret.txt", path),
    "a pipe": lambda path, old: os.mkfifo(path),
    "a socket": _socket,
    "an empty folder": lambda path, old: path.mkdir(),
}


def _links() -> Iterator[Case]:
    version = (forged.forged_version, forged.use_version)
    checkpoint = (forged.forged_checkpoint, forged.use_checkpoint)
    for file, (prepare, attempt) in {
        "model.safetensors": version,
        "plan.json": version,
        "manifest.json": version,
        "": version,
        "tensors.safetensors": checkpoint,
    }.items():
        for kind, make in THINGS.items():
            name = f"{file or 'the whole folder'}: {kind}"
            yield Case(name=name, prepare=functools.partial(_swap, prepare, file, make), attempt=attempt)


def _swap(prepare: Callable[..., Path], file: str, make: Callable[[Path, Path], None], folder: Path) -> None:
    path = prepare(folder, {}) / file
    old = path.rename(folder / "outside" / path.name)
    make(path, old)


def _addresses() -> Iterator[Case]:
    """What is served from the files' address instead of a sound version."""
    changes: dict[str, Callable[[Path], object]] = {
        "more bytes than stated": lambda made: _append(made / "plan.json", b"x" * 2**20),
        "fewer bytes than stated": lambda made: os.truncate(made / "plan.json", 1),
        "other bytes": lambda made: (made / "plan.json").write_bytes(b"[]"),
        "an endless pipe": lambda made: _instead(made / "model.safetensors", os.mkfifo),
        "an endless device": lambda made: _instead(made / "model.safetensors", _zeros),
        "a manifest without end": lambda made: _instead(made / "manifest.json", _zeros),
        "a manifest of 200 MB": lambda made: sparse(200 * 2**20)(made / "manifest.json"),
        "a link to a secret": lambda made: _instead(
            made / "plan.json", lambda path: path.symlink_to("../../../outside/secret.txt")
        ),
        "the manifest of another": lambda made: (made / "manifest.json").write_text(json.dumps(_manifest())),
        "a name above": lambda made: (made / "manifest.json").write_text(
            json.dumps(_manifest(**{"../../../outside/new": _KNOWN}))
        ),
    }
    for kind, change in changes.items():
        prepare = functools.partial(_away, change)
        yield Case(
            name=f"address: {kind}", prepare=prepare, attempt=_use_remote, served=False, reads=("address",)
        )
    for kind, bound in (("changes between two reads", 3), ("sends without end", 2**62)):
        attempt = functools.partial(_shifty, bound)
        yield Case(
            name=f"address: {kind}", prepare=_prepare_away, attempt=attempt, served=False, reads=("address",)
        )


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _append(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _away(change: Callable[[Path], object], folder: Path) -> None:
    change(away(folder, forged.forged_version(folder, {})))


def _prepare_away(folder: Path) -> None:
    away(folder, forged.forged_version(folder, {}))


def _use_remote(folder: Path) -> None:
    """Reads the version from the address; what was refused must leave nothing behind."""
    before = sorted((folder / "store" / "versions").iterdir())
    try:
        forged.use_remote(folder)
    finally:
        if sorted((folder / "store" / "versions").iterdir()) != before:
            raise RuntimeError("what was refused was kept")


def _shifty(bound: int, folder: Path) -> None:
    """An address whose files go on after their end."""
    local = type(fsspec.filesystem("file"))
    real = local.open

    class Longer:
        def __init__(self, file: Any) -> None:
            self.file, self.left = file, bound

        def __enter__(self) -> Longer:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, size: int) -> bytes:
            data: bytes = self.file.read(size)
            if not data and self.left > 0:
                data = b"x" * min(size, self.left)
                self.left -= len(data)
            return data

    local.open = lambda self, path, *rest, **more: (
        Longer(real(self, path, *rest, **more))
        if path.endswith("safetensors")
        else real(self, path, *rest, **more)
    )
    _use_remote(folder)


def _references() -> Iterator[Case]:
    """Arrivals that say their rows lie somewhere else."""
    made: dict[str, tuple[Any, Callable[[Path], object]]] = {
        "a device": ("/dev/zero", lambda path: None),
        "memory of the process": ("/proc/self/mem", lambda path: None),
        "its environment": ("/proc/self/environ", lambda path: None),
        "a link to a device": ("outside/x.csv", lambda path: path.symlink_to("/dev/zero")),
        "a link to the environment": ("outside/x.csv", lambda path: path.symlink_to("/proc/self/environ")),
        "a pipe": ("outside/x.csv", os.mkfifo),
        "a socket": ("outside/x.csv", lambda path: _socket(path, path)),
        "a link to itself": ("outside/x.csv", lambda path: path.symlink_to(path.name)),
        "a pipe as an image": ("outside/x.csv", lambda path: os.mkfifo(_image(path))),
        "an image elsewhere": ("outside/x.csv", lambda path: _image(path).symlink_to("/proc/self/status")),
        "a secret text": ("outside/secret.txt", lambda path: None),
        "a secret table": ("outside/secret.csv", lambda path: None),
        "the folder of passwords": ("/proc/self/status", lambda path: None),
        "an address": ("file:///nowhere/passwd", lambda path: None),
        "a byte of zero": ("outside/secret.csv\x00.png", lambda path: None),
        "a very long name": ("a/" * 50_000, lambda path: None),
        "a table itself": ({"x": [0, 1]}, lambda path: None),
        "a list": ([["x"], [1]], lambda path: None),
        "a number": (0, lambda path: None),
    }
    for kind, (reference, make) in made.items():
        prepare = functools.partial(_refer, reference, make)
        yield Case(name=f"reference: {kind}", prepare=prepare, attempt=forged.use_arrival, reads=("outside",))


def _image(path: Path) -> Path:
    (path / "class").mkdir(parents=True)
    return path / "class" / "image.png"


def _refer(reference: Any, make: Callable[[Path], object], folder: Path) -> None:
    forged.forged_arrival(folder, {}, reference=reference)
    make(folder / "outside" / "x.csv")


def _rows() -> Iterator[Case]:
    """What the database says."""
    for kind, name in {
        "above": "../../outside",
        "absolute": "{folder}/outside",
        "a file of the store": "../store.db",
    }.items():
        row = {"folder": name}
        prepare = functools.partial(_arrival_row, row)
        yield Case(name=f"row: an arrival's folder {kind}", prepare=prepare, attempt=forged.use_arrival)
        prepare = functools.partial(_arrival_row, {**row, "kept": False})  # to be removed at the next start
        attempt = forged.use_arrival
        yield Case(name=f"row: a forgotten folder {kind}", prepare=prepare, attempt=attempt, served=False)
    champion = sa.update(db.aliases).values(version="../../outside/v")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n"
    changes: dict[str, tuple[Any, ...]] = {
        "a champion above": (champion,),
        "a champion that is a number": (sa.update(db.aliases).values(version="1"),),
        "a table that never ends": ("DROP TABLE versions", f"CREATE VIEW versions AS {endless}"),
        "a trigger": ("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END",),
        "another format": ("UPDATE headstart SET value = '999999999999'",),
        "an event nested too deep": (f"UPDATE events SET payload = '{'[' * 100_000}'",),
        "an event of bytes": ("UPDATE events SET payload = x'ff00'",),
        "parents nested too deep": (f"UPDATE versions SET parents = '{'[' * 100_000}'",),
    }
    for kind, statements in changes.items():
        prepare = functools.partial(_change, statements)
        yield Case(name=f"row: {kind}", prepare=prepare, attempt=_use_all, served=False)
    yield Case(name="row: a version above", prepare=_version_above, attempt=forged.use_version)
    for kind, make in {**THINGS, "a pickle": _pickle}.items():
        if kind not in ("a hard link to a secret", "a link to what was there"):
            prepare = functools.partial(_database, make)
            yield Case(name=f"database: {kind}", prepare=prepare, attempt=_use_all, served=False)


def _pickle(path: Path, _old: Path) -> None:
    forged.put(path, STRANGERS["a pickle"])


def _arrival_row(row: dict[str, Any], folder: Path) -> None:
    """A row that names a folder, never one of the system: a reader that is broken might remove it."""
    forged.forged_arrival(folder, {}, {**row, "folder": row["folder"].replace("{folder}", str(folder))})


def _version_above(folder: Path) -> None:
    made = forged.forged_version(folder, {})
    made.rename(folder / "outside" / "v")
    forged.version_row(Store(folder / "store"), "../../outside/v")


def _change(statements: tuple[Any, ...], folder: Path) -> None:
    execute(sound(folder), *statements)


def _database(make: Callable[[Path, Path], None], folder: Path) -> None:
    sound(folder).close()
    path = folder / "store" / "store.db"
    make(path, path.rename(folder / "outside" / path.name))


def _use_all(folder: Path) -> None:
    store = Store(folder / "store")
    store.champion()
    store.log()
    store.versions()
    problems = store.verify()
    if problems:  # an honest answer, too
        raise StoreError("the store is damaged", where="store", got=problems[0].what, fix="restore it")
