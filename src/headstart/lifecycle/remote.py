"""Committed folders at an address: object stores and whatever else fsspec knows.

There is no rename on an object store, so the manifest is uploaded last: a folder without one is not
there yet. A download goes into a temporary folder, takes only what the manifest names, is checked, and
is renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError, InputError, StoreError
from headstart.lifecycle.artifact import LARGEST_MANIFEST, MANIFEST, open_directory
from headstart.lifecycle.durable import file_errors, flush_file, flush_folder, temporary_name

__all__ = ["Remote", "without_secrets"]

_CHUNK = 2**20


def without_secrets(url: str) -> str:
    """An address without user, password and query, for messages and names."""
    kind, mark, rest = url.partition("://")
    if not mark:
        return url
    return f"{kind}://{rest.partition('?')[0].rpartition('@')[2]}"


@dataclass(frozen=True)
class Remote:
    """Folders below one fsspec address. A folder is named by its parent and its own name."""

    url: str

    def __repr__(self) -> str:
        return f"Remote({without_secrets(self.url)!r})"

    def upload(self, path: Path) -> None:
        """Copies a committed folder there, its manifest last; does nothing when it is there."""
        with self._opened(path) as (system, target):
            if system.exists(f"{target}/{MANIFEST}"):
                return
            system.makedirs(target, exist_ok=True)
            for name in [*open_directory(path).manifest["files"], MANIFEST]:
                system.put_file(str(path / name), f"{target}/{name}")

    def fetch(self, path: Path) -> None:
        """Copies a folder from there, all or nothing.

        Raises:
            StoreError: it is not there, or is damaged.
        """
        with self._opened(path) as (system, source), file_errors(path):
            if not system.exists(f"{source}/{MANIFEST}"):
                raise StoreError(
                    "a stored folder is missing",
                    where=self._name(path),
                    got="no manifest there",
                    fix="check the address, or restore the folder",
                )
            temporary = path.parent / temporary_name()
            temporary.mkdir(parents=True)
            try:
                _download(system, f"{source}/{MANIFEST}", temporary / MANIFEST, LARGEST_MANIFEST)
                opened = open_directory(temporary, path.name)  # it is named by its content
                for name, entry in opened.manifest["files"].items():
                    _download(system, f"{source}/{name}", temporary / name, entry["size"])
                opened.check()
                flush_folder(temporary)
                _rename(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def remove(self, path: Path) -> None:
        """Removes a folder there, its manifest first."""
        with self._opened(path) as (system, target):
            for name in (f"{target}/{MANIFEST}", target):
                with contextlib.suppress(FileNotFoundError):
                    system.rm(name, recursive=True)

    def digest(self, path: Path, name: str) -> str:
        """SHA-256 of a file there.

        Raises:
            StoreError: it cannot be read, or is larger than the manifest says.
        """
        total, size = hashlib.sha256(), open_directory(path).manifest["files"][name]["size"]
        with self._opened(path) as (system, source):
            for chunk in _chunks(system, f"{source}/{name}", size):
                total.update(chunk)
        return total.hexdigest()

    def _name(self, path: Path) -> str:
        return f"{without_secrets(self.url)}/{path.parent.name}/{path.name}"

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[tuple[Any, str]]:
        import fsspec

        try:
            system, base = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise InputError(
                "the files' address cannot be used",
                where="artifacts",
                got=f"{without_secrets(self.url)}: {type(error).__name__}",
                fix="give a folder or an fsspec URL, and install the library for its kind",
            ) from error
        try:
            yield system, f"{base.rstrip('/')}/{path.parent.name}/{path.name}"
        except HeadstartError:
            raise
        except Exception as error:  # every kind of store has errors of its own
            raise StoreError(
                "the files' address refused",
                where=self._name(path),
                got=f"{type(error).__name__}: {error}",
                fix="check the address, the rights and the network, and run again",
            ) from error


def _download(system: Any, source: str, target: Path, limit: int) -> None:
    with open(target, "xb") as file:
        for chunk in _chunks(system, source, limit):
            file.write(chunk)
    flush_file(target)


def _chunks(system: Any, source: str, limit: int) -> Iterator[bytes]:
    """A file's content piece by piece, and never more than it may hold, whatever is sent."""
    if not system.isfile(source):
        raise FileNotFoundError(f"{source} is no file")  # a link to a device, or a pipe that never ends
    with system.open(source, "rb", block_size=_CHUNK) as file:
        while chunk := file.read(_CHUNK):
            limit -= len(chunk)
            if limit < 0:
                raise ValueError(f"{source} holds more bytes than it should")
            yield chunk


def _rename(temporary: Path, path: Path) -> None:
    try:
        os.rename(temporary, path)
    except OSError:
        if not (path / MANIFEST).is_file():  # another process may have fetched it meanwhile
            raise
    flush_folder(path.parent)
