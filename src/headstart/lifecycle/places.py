"""Where a store keeps its parts, how it is opened, and what a crash left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import InputError, StoreError
from headstart.lifecycle.database import Database
from headstart.lifecycle.durable import file_errors

__all__ = ["Places"]

# A temporary folder of a process that lives (or may live on another machine) is left alone so long.
_GRACE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Places:
    """Folders and addresses of one store.

    Attributes:
        root: local folder: runs, locks, and (for a remote store) the copies.
        url: database URL.
        remote: fsspec URL of the files, or "" when they live in ``root``.
    """

    root: Path
    url: str
    remote: str = ""

    @classmethod
    def of(cls, location: str | Path, artifacts: str | None) -> Places:
        """The places of a store.

        Raises:
            InputError: the location is empty, a file, or a folder that holds something else.
        """
        text = str(location)
        if not text.strip() or "\x00" in text:
            raise InputError("the store has no location", where="store", got=text, fix="give a folder")
        if "://" not in text:
            root = Path(text)
            _check_folder(root)
            return cls(root, f"sqlite:///{root / 'store.db'}", artifacts or "")
        if artifacts is None:
            raise InputError(
                "a store with a database URL needs a place for its files",
                where="store",
                got=text.split("@")[-1],
                fix="give artifacts= a folder or an fsspec URL",
            )
        if "://" not in artifacts:
            root = Path(artifacts)
            return cls(root, text)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        safe = "".join(c if c.isalnum() else "-" for c in artifacts)
        return cls(cache / "headstart" / safe, text, artifacts)

    @property
    def versions(self) -> Path:
        """Folder of versions."""
        return self.root / "versions"

    @property
    def arrivals(self) -> Path:
        """Folder of arrivals."""
        return self.root / "arrivals"

    def open(self) -> Database:
        """Makes what is missing, sweeps what a crash left, and opens the database."""
        new = not self.root.exists()
        with file_errors(self.root):
            for folder in (self.root, self.versions, self.arrivals, self.root / "runs"):
                folder.mkdir(parents=True, exist_ok=True)
        try:
            database = Database(self.url)
            database.create()
        except BaseException:
            if new:
                shutil.rmtree(self.root, ignore_errors=True)
            raise
        for folder in (self.versions, self.arrivals, self.root / "memory"):
            sweep(folder)
        return database

    def upload(self, path: Path) -> None:
        """Copies a committed folder to the remote place, its manifest last."""
        if not self.remote:
            return
        system, base = self._remote()
        target = f"{base}/{path.parent.name}/{path.name}"
        system.makedirs(target, exist_ok=True)
        names = sorted(file.name for file in path.iterdir() if file.name != "manifest.json")
        for name in [*names, "manifest.json"]:
            system.put_file(str(path / name), f"{target}/{name}")

    def fetch(self, path: Path) -> Path:
        """The local folder, copied from the remote place if it is not here."""
        if not self.remote or (path / "manifest.json").is_file():
            return path
        system, base = self._remote()
        source = f"{base}/{path.parent.name}/{path.name}"
        if not system.exists(f"{source}/manifest.json"):
            raise StoreError(
                "a stored folder is missing",
                where=f"{self.remote}/{path.parent.name}/{path.name}",
                got="no manifest there",
                fix="check the address, or restore the folder",
            )
        path.mkdir(parents=True, exist_ok=True)
        for file in sorted(system.ls(source, detail=False), key=lambda name: name.endswith("manifest.json")):
            system.get_file(file, str(path / file.rsplit("/", 1)[-1]))
        return path

    def remove(self, path: Path) -> None:
        """Removes a folder here and at the remote place."""
        shutil.rmtree(path, ignore_errors=True)
        if self.remote:
            system, base = self._remote()
            with contextlib.suppress(FileNotFoundError):
                system.rm(f"{base}/{path.parent.name}/{path.name}", recursive=True)

    def _remote(self) -> tuple[Any, str]:
        import fsspec

        try:
            system, base = fsspec.core.url_to_fs(self.remote)
        except (ValueError, ImportError) as error:
            raise InputError(
                "the files' address cannot be used",
                where="artifacts",
                got=f"{self.remote.split('@')[-1]}: {error}",
                fix="give a folder or an fsspec URL, and install the library for its kind",
            ) from error
        return system, base.rstrip("/")


def sweep(folder: Path) -> None:
    """Removes temporary folders whose writer is gone."""
    for entry in folder.glob(".tmp-*") if folder.is_dir() else ():
        pid = entry.name.split("-")[1]
        with contextlib.suppress(OSError):
            old = time.time() - entry.lstat().st_mtime > _GRACE_SECONDS
            if old or not (pid.isdecimal() and _alive(int(pid))):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _check_folder(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise InputError(
            "the store's location is a file", where="store", got=str(root), fix="give a folder, or a new name"
        )
    if root.is_dir() and not (root / "store.db").is_file():
        others = sorted(p.name for p in root.iterdir() if p.name not in _OURS)
        if others:
            raise InputError(
                "the folder holds something else than a store",
                where=f"store {root}",
                got=", ".join(others[:5]),
                fix="give an empty folder or a new name",
            )


_OURS = ("versions", "arrivals", "runs", "memory", "report", "update.lock")
