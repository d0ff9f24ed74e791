"""A folder in which verbs run: laid out once, looked at after each verb, laid out again when one wrote."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability._fuzz.tables import lay_out
from benchmarks.reliability._fuzz.verbs import Called, Listing, call, listing, problem_of
from benchmarks.reliability._fuzz.watch import Watch
from headstart.cli import doctor

__all__ = ["Scratch", "base_store", "remove"]

# What an open store has, and what an update locks.
_PASSING = ("store.db-wal", "store.db-shm", "update.lock", "runs")


def base_store(folder: Path) -> Path:
    """A configuration, two arrivals, and a store with two versions that were made from them."""
    lay_out(folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        for data in ("new.csv", "later.csv"):
            called = call(("update", "--quiet", "--data", data))
            if called.code != 0:
                raise RuntimeError(f"the base of the campaign could not be made: {called}")
    finally:
        os.chdir(before)
        gc.collect()  # closes the database
    shutil.rmtree(folder / "store" / "report")
    return folder


def bring(source: str, target: str) -> None:
    """A folder, or a file: as a link where nothing is ever written in place, else as a copy of its age."""
    if os.path.isdir(source):
        os.mkdir(target)
    elif source.endswith((".safetensors", ".json")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


class Scratch:
    """The folder ``a/b`` of a folder, so that ``..`` leads to nothing that matters."""

    def __init__(self, folder: Path, base: Path, *, specials: bool = False) -> None:
        self.outside, self.base, self.folder = folder, base, folder / "a" / "b"
        self.watch = Watch(folder)
        # Reading what is installed takes the doctor ten times as long as all else, and no case changes it.
        doctor._version = functools.cache(doctor._version)
        self.folder.parent.mkdir()
        self._parts = {os.fspath(self.folder): os.fspath(base)}
        for path in listing(base):
            self._parts[os.path.join(self.folder, os.path.relpath(path, base))] = path
        for target, source in self._parts.items():
            bring(source, target)
        if specials:  # what is neither a file nor a folder, outside of the part that verbs write to
            os.mkfifo(self.folder.parent / "pipe")
            os.symlink("loop", self.folder.parent / "loop")
            os.symlink("nowhere", self.folder.parent / "dangling")
        self._clean = listing(self.outside)
        os.chdir(self.folder)

    def restore(self) -> None:
        """Everything as it was at first."""
        now = listing(self.outside)
        wrong = sorted(
            path for path in now.keys() | self._clean.keys() if now.get(path) != self._clean.get(path)
        )
        for path in wrong:
            if os.path.lexists(path):
                remove(Path(path))
        for path in wrong:
            if path in self._parts:
                bring(self._parts[path], path)
        os.chdir(self.folder)

    def call(
        self, words: Sequence[str], encoding: str = "utf-8", *, traceless: bool = True
    ) -> tuple[Called, str | None]:
        """Runs a verb, and says how the promise was broken: by what it said, or by what it left.

        Args:
            words: the command line.
            encoding: of its output.
            traceless: whether a refused line must leave everything as it was; a damaged store may be mended.
        """
        before = listing(self.outside)
        self.watch.seen.clear()
        called = call(words, encoding)
        problem = problem_of(called)
        gc.collect()  # closes the database
        after = listing(self.outside)
        if called.code == 2 and traceless and problem is None:
            problem = _trace(before, after, called)
        if self.watch.seen:
            problem = problem or f"{called.words}: wrote outside the folder, at {self.watch.seen[:3]}"
        self.restore()
        return called, problem


def remove(place: Path) -> None:
    """Removes a file or a tree, whatever the names in it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(os.fsencode(place)) if place.is_dir() and not place.is_symlink() else place.unlink()


def _trace(before: Listing, after: Listing, called: Called) -> str | None:
    """What a refused line left: anything but a store that holds nothing, and the folder of a run."""
    differ = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    left = sorted(path for path in differ if not _idle(path, before, after))
    return f"{called.words}: refused ({called.err.strip()}), and left {left[:4]}" if left else None


def _idle(path: str, before: Listing, after: Listing) -> bool:
    name, folder = os.path.basename(path), os.path.dirname(path)
    if name in _PASSING or f"{os.sep}runs{os.sep}" in path:
        return True
    if name == "store.db" and path in after:
        return path not in before and _holds_nothing(path)
    # The parts of a store that this line made.
    stores = (path, folder)
    return any(
        f"{store}{os.sep}store.db" in after and f"{store}{os.sep}store.db" not in before for store in stores
    )


def _holds_nothing(database: str) -> bool:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        tables = ("versions", "aliases", "events", "arrivals", "records")
        return not any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)
