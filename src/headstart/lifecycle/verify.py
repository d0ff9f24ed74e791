"""Reads a whole store and lists what is not as it was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from headstart.errors import CorruptionError, HeadstartError, StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle import lineage
from headstart.lifecycle.artifact import MANIFEST, digest_of, open_directory
from headstart.lifecycle.data.read import read
from headstart.lifecycle.lineage import replay
from headstart.lifecycle.seals import checked, refuse_gaps, unharmed

if TYPE_CHECKING:
    from headstart.lifecycle.store import Store

__all__ = ["Problem", "last_good", "verify"]


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was committed.

    Attributes:
        what: in words.
        file: the file or row.
        expected, found: digests, sizes or values.
        last_good: newest version that verifies.
    """

    what: str
    file: str
    expected: str
    found: str
    last_good: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)


def verify(store: Store) -> list[Problem]:
    """Every row, every file of every version and arrival, names, parents, the champion against the log.

    A complete folder without a row is no problem: it is a commit that was killed before its row, and the
    same commit, run again, adopts it. Neither are temporary folders, which are swept.
    """
    found: list[Problem] = []
    for check in (_database, _rows, _versions, _arrivals, _memory, _champion):
        found += _told(check, store)
    if not found:
        return []
    good = last_good(store)
    return [Problem(p.what, p.file, p.expected, p.found, good) for p in dict.fromkeys(found)]


def last_good(store: Store) -> str | None:
    """The newest version whose row and whose every file verify, or None."""
    try:
        with store._db.read() as connection:
            rows = connection.execute(sa.select(db.versions).order_by(db.versions.c.number.desc())).all()
    except StoreError:
        return None  # the database itself cannot be read
    for row in rows:
        if unharmed(row) and not list(_folder(store, row.id, store.places.version)):
            return str(row.id)
    return None


def _told(check: Callable[[Store], Iterator[Problem]], store: Store) -> list[Problem]:
    """The problems a check finds, the one that stops it included."""
    found: list[Problem] = []
    try:
        for problem in check(store):
            found.append(problem)
    except CorruptionError as error:
        found.append(_problem(error))
    except StoreError as error:
        found.append(Problem(error.what, error.where, "a database that can be read", error.got))
    return found


def _problem(error: CorruptionError) -> Problem:
    return Problem(error.what, error.file, error.expected, error.found)


def _database(store: Store) -> Iterator[Problem]:
    for line in store._db.damage():
        yield Problem("the database is damaged", store._db.place, "a sound database", line)


def _rows(store: Store) -> Iterator[Problem]:
    for table in (db.versions, db.arrivals, db.events, db.records):
        with store._db.read() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.number)).all()
        try:
            refuse_gaps(table, [row.number for row in rows])
        except CorruptionError as error:
            yield Problem("a row is missing", error.file, error.expected, error.found)
        for row in rows:
            try:
                checked(row, table)
            except CorruptionError as error:
                yield _problem(error)


def _versions(store: Store) -> Iterator[Problem]:
    with store._db.read() as connection:
        rows = connection.execute(sa.select(db.versions.c.id, db.versions.c.parents)).all()
    known = {row.id for row in rows}
    for row in rows:
        problems = list(_folder(store, row.id, store.places.version))
        yield from problems
        if problems:
            continue
        parents = open_directory(store.places.version(row.id)).manifest["parents"]
        if parents != row.parents:
            yield Problem(
                "parents differ from the manifest's", f"row of {row.id}", str(parents), str(row.parents)
            )
        for parent in sorted(set(parents) - known):
            yield Problem("a parent is unknown", f"version {row.id}", parent, "no such version")
    yield from _strangers(store.places.versions, known)


def _arrivals(store: Store) -> Iterator[Problem]:
    with store._db.read() as connection:
        rows = connection.execute(sa.select(db.arrivals).order_by(db.arrivals.c.number)).all()
    for index, row in enumerate(rows, start=1):
        if not unharmed(row) or not row.kept:
            continue
        problems = list(_folder(store, row.folder, store.places.arrival))
        yield from problems
        if problems:
            continue
        manifest = open_directory(store.places.arrival(row.folder)).manifest
        for name, value in {"digest": row.digest, **row.summary}.items():
            if manifest[name] != value:
                what = f"an arrival's {name} differs from the manifest's"
                yield Problem(what, f"row of arrival {index}", str(manifest[name]), str(value))
        if manifest["reference"] is not None:
            yield from _reference(f"arrival {index}, {manifest['reference']}", manifest, row.digest)
    yield from _strangers(store.places.arrivals, {row.folder for row in rows})


def _memory(store: Store) -> Iterator[Problem]:
    for _, note in store.records("memory"):
        yield from _folder(store, note["folder"], store.places.memory)


def _reference(where: str, manifest: Mapping[str, Any], digest: str) -> Iterator[Problem]:
    try:
        found = read(manifest["reference"]).digest()
    except HeadstartError as error:
        yield Problem(error.what, where, f"digest {digest}", error.got)
        return
    if found != digest:
        what = "the data an arrival refers to have another digest now"
        yield Problem(what, where, f"digest {digest}", f"digest {found}")


def _champion(store: Store) -> Iterator[Problem]:
    alias, logged = lineage.alias(store._db), replay(store)
    if alias != logged:
        yield Problem("the champion is not the one the log leads to", "champion", str(logged), str(alias))
    if alias is not None and alias not in store.version_ids():
        yield Problem("the champion is no version of this store", "champion", "a version", str(alias))
    store.champion_id()  # its seal


def _strangers(parent: Path, known: set[str]) -> Iterator[Problem]:
    for entry in sorted(parent.iterdir()):
        if entry.name in known or entry.name.startswith(".tmp-"):
            continue
        try:
            open_directory(entry, entry.name)
        except StoreError:
            yield Problem("this does not belong here", str(entry), "nothing", "a file or folder not ours")


def _folder(store: Store, name: str, find: Callable[[str], Path]) -> Iterator[Problem]:
    try:
        path = find(name)
        opened = open_directory(store.places.fetch(path), path.name)
    except CorruptionError as error:
        gone = error.found == "no such folder"
        what = "a stored folder is missing" if gone else "a manifest is damaged"
        yield Problem(what, error.file, error.expected, error.found)
        return
    except StoreError as error:
        yield Problem(error.what, error.where, "a folder", error.got)
        return
    # What is kept of forgotten arrivals stays on this machine.
    remote = store.places.remote if path.parent.name != "memory" else None
    files = opened.manifest["files"]
    for name, entry in files.items():
        yield from _file(path / name, entry["sha256"])
        if remote:
            try:
                found = remote.digest(path, name)
            except StoreError as error:
                found = error.got
            if found != entry["sha256"]:
                where = f"{path.parent.name}/{path.name}/{name} at the files' address"
                yield Problem("a file was changed", where, f"sha256 {entry['sha256']}", f"sha256 {found}")
    for extra in sorted(p.name for p in path.iterdir() if p.name not in files and p.name != MANIFEST):
        yield Problem("a file does not belong here", str(path / extra), "no such file", "a file")


def _file(path: Path, sha256: str) -> Iterator[Problem]:
    try:
        if path.is_symlink() or not path.is_file():
            raise OSError("no regular file")
        found = digest_of(path)
    except OSError as error:
        yield Problem("a file cannot be read", str(path), f"sha256 {sha256}", str(error.strerror or error))
        return
    if found != sha256:
        yield Problem("a file was changed", str(path), f"sha256 {sha256}", f"sha256 {found}")
