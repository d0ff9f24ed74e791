"""Reads a whole store and lists what is not as it was committed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from headstart.errors import CorruptionError, StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import digest_of, identity, open_directory
from headstart.lifecycle.lineage import replay
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
    """Every file of every version and arrival, names, parents, and the champion against the log."""
    found = [*_versions(store), *_arrivals(store), *_champion(store)]
    if not found:
        return []
    good = last_good(store)
    return [Problem(p.what, p.file, p.expected, p.found, good) for p in found]


def last_good(store: Store) -> str | None:
    """The newest version whose every file verifies."""
    for id in reversed(_ids(store)):
        if not list(_folder(store.places.versions / id, id)):
            return id
    return None


def _ids(store: Store) -> list[str]:
    with store._db.read() as connection:
        return list(connection.execute(sa.select(db.versions.c.id).order_by(db.versions.c.number)).scalars())


def _versions(store: Store) -> Iterator[Problem]:
    known = set(_ids(store))
    with store._db.read() as connection:
        rows = connection.execute(sa.select(db.versions.c.id, db.versions.c.parents)).all()
    for row in rows:
        path = store.places.versions / row.id
        problems = list(_folder(path, row.id))
        yield from problems
        if problems:
            continue
        parents = list(open_directory(path).manifest.get("parents", []))
        if parents != list(row.parents):
            yield Problem(
                "parents differ from the manifest's", f"row of {row.id}", str(parents), str(row.parents)
            )
        for parent in set(parents) - known:
            yield Problem("a parent is unknown", f"version {row.id}", parent, "no such version")


def _arrivals(store: Store) -> Iterator[Problem]:
    with store._db.read() as connection:
        rows = connection.execute(sa.select(db.arrivals).where(db.arrivals.c.kept)).all()
    for row in rows:
        path = store.places.arrivals / row.folder
        problems = list(_folder(path, row.folder))
        yield from problems
        if not problems and open_directory(path).manifest.get("digest") != row.digest:
            found = str(open_directory(path).manifest.get("digest"))
            yield Problem("an arrival has another digest", str(path), row.digest, found)


def _champion(store: Store) -> Iterator[Problem]:
    with store._db.read() as connection:
        query = sa.select(db.aliases.c.version).where(db.aliases.c.name == "champion")
        alias = connection.execute(query).scalar()
    logged = replay(store)
    if alias != logged:
        yield Problem("the champion is not the one the log leads to", "champion", str(logged), str(alias))
    if alias is not None and alias not in _ids(store):
        yield Problem("the champion is no version of this store", "champion", "a version", alias)


def _folder(path: Path, name: str) -> Iterator[Problem]:
    try:
        opened = open_directory(path)
    except CorruptionError as error:
        yield Problem("a manifest cannot be read", error.file, error.expected, error.found)
        return
    except StoreError as error:
        yield Problem(error.what, str(path), "a folder", error.got)
        return
    if identity(opened.manifest) != name:
        yield Problem("a manifest was changed", str(path / "manifest.json"), name, identity(opened.manifest))
    files = opened.manifest["files"]
    for file, entry in files.items():
        yield from _file(path / file, entry["sha256"])
    for extra in sorted(p.name for p in path.iterdir() if p.name not in files and p.name != "manifest.json"):
        yield Problem("a file does not belong here", str(path / extra), "no such file", "a file")


def _file(path: Path, sha256: str) -> Iterator[Problem]:
    try:
        if path.is_symlink():
            raise OSError("a link")
        found = digest_of(path)
    except OSError as error:
        yield Problem("a file cannot be read", str(path), f"sha256 {sha256}", str(error.strerror or error))
        return
    if found != sha256:
        yield Problem("a file was changed", str(path), f"sha256 {sha256}", f"sha256 {found}")
