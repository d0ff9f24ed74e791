"""Where a store keeps its parts, how it is opened, and what a crash left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.artifact import MANIFEST
from headstart.lifecycle.database import Database
from headstart.lifecycle.durable import file_errors, flush_folder, make_folder, sweep, temporary_name
from headstart.lifecycle.remote import Remote, without_secrets

__all__ = ["Places"]

_DATABASE = "store.db"
# SQLite's journal is there alone when the power failed while the database was being made.
_OURS = ("versions", "arrivals", "runs", "memory", "report", "update.lock", f"{_DATABASE}-journal")
_IDENTITY = re.compile(r"[0-9a-f]{16}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True)
class Places:
    """Folders and addresses of one store.

    Attributes:
        root: local folder: runs, locks, and (for a remote store) the copies.
        url: database URL.
        remote: where the files live, or None when they live in ``root``.
    """

    root: Path
    url: sa.URL | str
    remote: Remote | None = None

    @classmethod
    def of(cls, location: str | Path, artifacts: str | None) -> Places:
        """The places of a store.

        Raises:
            InputError: the location is empty, a file, or a folder that holds something else.
        """
        text = str(location)
        if not text.strip() or "\x00" in text:
            raise InputError("the store has no location", where="store", got=text, fix="give a folder")
        remote = Remote(artifacts) if artifacts else None
        if "://" not in text:
            root = Path(text).absolute()  # the process may change its folder later
            with file_errors(root):
                _check_folder(root)
            # Built, not written as text: a folder's name may hold what means something in a URL.
            return cls(root, sa.URL.create("sqlite", database=str(root / _DATABASE)), remote)
        if not artifacts:
            raise InputError(
                "a store with a database URL needs a place for its files",
                where="store",
                got=without_secrets(text),
                fix="give artifacts= a folder or an fsspec URL",
            )
        if "://" not in artifacts:
            return cls(Path(artifacts).absolute(), text)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        # Stores of several databases may share one address; a digest tells no password.
        name = hashlib.sha256(f"{artifacts} {without_secrets(text)}".encode()).hexdigest()[:16]
        return cls(cache / "headstart" / name, text, remote)

    @property
    def versions(self) -> Path:
        """Folder of versions."""
        return self.root / "versions"

    @property
    def arrivals(self) -> Path:
        """Folder of arrivals."""
        return self.root / "arrivals"

    def version(self, id: str) -> Path:
        """Folder of a version.

        Raises:
            CorruptionError: the database names something that is no id.
        """
        return _named(self.versions, id)

    def arrival(self, folder: str) -> Path:
        """Folder of an arrival.

        Raises:
            CorruptionError: the database names something that is no folder of ours.
        """
        return _named(self.arrivals, folder)

    def memory(self, folder: str) -> Path:
        """Folder of what is kept of forgotten arrivals.

        Raises:
            CorruptionError: the database names something that is no folder of ours.
        """
        return _named(self.root / "memory", folder)

    def run_folder(self, run_id: str) -> Path:
        """Folder of one run; who writes into it makes it.

        Raises:
            InputError: the id is no plain name.
        """
        if not _RUN.fullmatch(run_id):
            raise InputError(
                "this is no name of a run",
                where="run_folder",
                got=run_id,
                fix="use letters, digits, dot, dash and underscore, up to 120",
            )
        return self.root / "runs" / run_id

    def open(self) -> Database:
        """Makes what is missing, opens the database, sweeps what a crash left. Failing leaves no folder."""
        database = Database(self.url)
        made: list[Path] = []
        try:
            with file_errors(self.root):
                made += make_folder(self.root)
                _check_rights(self.root / _DATABASE)
                database.create()
                for folder in (self.versions, self.arrivals, self.root / "runs"):
                    made += make_folder(folder)
                for folder in (self.versions, self.arrivals, self.root / "memory"):
                    sweep(folder)
        except BaseException:
            database.close()
            for folder in reversed(made):
                with contextlib.suppress(OSError):  # another process may use it by now
                    folder.rmdir()
            raise
        return database

    def upload(self, path: Path) -> None:
        """Copies a committed folder to where the files live."""
        if self.remote:
            self.remote.upload(path)

    def fetch(self, path: Path) -> Path:
        """The local folder, copied from where the files live if it is not here."""
        if self.remote and not (path / MANIFEST).is_file():
            self.remote.fetch(path)
        return path

    def hide(self, path: Path) -> Path | None:
        """Gives a folder a temporary name in one step; None when there is none."""
        if not path.is_dir():
            return None
        hidden = path.parent / temporary_name()
        with file_errors(path):
            os.rename(path, hidden)
            flush_folder(path.parent)
        return hidden

    def remove(self, hidden: Path) -> None:
        """Removes a hidden folder, durably; what cannot be removed is swept at the next start."""
        shutil.rmtree(hidden, ignore_errors=True)
        with file_errors(hidden):
            flush_folder(hidden.parent)


def _named(parent: Path, name: str) -> Path:
    # A name from the database never leads out of the folder it belongs to.
    if not isinstance(name, str) or not _IDENTITY.fullmatch(name):
        raise CorruptionError(
            f"the database's entry for {parent.name}", expected="16 hex digits", found=repr(name)[:100]
        )
    return parent / name


def _check_rights(database: Path) -> None:
    # SQLite would read it, and leave files beside it that cannot be written when the rights are back.
    if database.is_file() and not os.access(database, os.R_OK | os.W_OK):
        raise StoreError(
            "the store's database cannot be written",
            where=str(database),
            got="a file that this user may not write, or a file system that is read-only",
            fix="give this user the right to read and write it, on a file system that can be written",
        )


def _check_folder(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise InputError(
            "the store's location is a file", where="store", got=str(root), fix="give a folder, or a new name"
        )
    if root.is_dir() and not (root / _DATABASE).is_file():
        others = sorted(p.name for p in root.iterdir() if p.name not in _OURS)
        if others:
            raise InputError(
                "the folder holds something else than a store",
                where=f"store {root}",
                got=", ".join(others[:5]),
                fix="give an empty folder or a new name",
            )
