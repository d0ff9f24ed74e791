"""Folders of files that are committed in one step, never change, and are checked when read.

Commit: write into ``.tmp-*`` beside the target, flush each file and the folder, rename once, flush the
parent. ``manifest.json`` holds the SHA-256 and size of every file; the folder's identity is the digest
of the manifest, which holds no time, so the same content has the same name wherever it is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.durable import (
    file_errors,
    flush_file,
    flush_folder,
    make_folder,
    sweep,
    temporary_name,
    write_file,
)
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.tensors import load_tensors, save_tensors
from headstart.lifecycle.untrusted import parse_json

__all__ = [
    "LARGEST_MANIFEST",
    "MANIFEST",
    "Opened",
    "Writer",
    "as_json",
    "commit_directory",
    "identity",
    "manifest_for",
    "open_directory",
    "read_checkpoint",
    "write_checkpoint",
    "write_file",
]

Writer = bytes | Callable[[Path], None]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
MANIFEST = "manifest.json"
_FORMAT = 1
# JSON takes up to 24 times its size when it is read.
LARGEST_MANIFEST, _LARGEST_DOCUMENT = 2**20, 64 * 2**20
# Names that open a device, or another file than they say, on some systems.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])([. ].*)?", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
# What a manifest says besides its files, by the folder that holds it.
_HEADS: dict[str, dict[str, Any]] = {
    "versions": {"parents": list},
    "arrivals": {
        "kind": str,
        "digest": str,
        "count": int,
        "counts": dict,
        "reference": str | None,
        "note": dict,
    },
}
_POLICIES = ("once", "always", "never")
_verified: set[tuple[str, str, int, int, int]] = set()


@dataclass(frozen=True)
class Opened:
    """A committed folder; its files are checked when they are asked for."""

    path: Path
    manifest: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """Path of a file whose content matches its digest.

        Raises:
            CorruptionError: it does not.
            StoreError: the manifest names no such file.
        """
        recorded = self.manifest["files"].get(name)
        if recorded is None:
            raise StoreError(
                "the folder has no such file",
                where=str(self.path),
                got=name,
                fix=f"it holds: {', '.join(self.manifest['files'])}",
            )
        check_file(self.path / name, recorded["sha256"], recorded["size"])
        return self.path / name

    def json(self, name: str) -> Any:
        """Content of ``<name>.json``, checked like every file."""
        path = self.file(f"{name}.json")
        try:
            if path.stat().st_size > _LARGEST_DOCUMENT:
                raise ValueError(f"more than {_LARGEST_DOCUMENT} bytes")
            return parse_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise CorruptionError(str(path), expected="JSON", found=str(error)) from error

    def check(self) -> None:
        """Checks every file.

        Raises:
            CorruptionError: one is not what was committed.
        """
        for name in self.manifest["files"]:
            self.file(name)


def as_json(value: Any, where: str = "document") -> bytes:
    """JSON as bytes. Keys keep their order: the order of columns is that of a model's inputs.

    Raises:
        InputError: the value is not JSON, or holds NaN or infinity.
    """
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            "the value cannot be written as JSON",
            where=where,
            got=str(error),
            fix="use strings, finite numbers, booleans, None, lists and mappings with string keys",
        ) from error


def commit_directory(
    parent: Path, name: str | None, files: Mapping[str, Writer], head: Mapping[str, Any]
) -> Opened:
    """Writes a folder durably, all or nothing, and returns it. Doing it again changes nothing.

    Args:
        parent: folder that holds it; must exist.
        name: its name, or None to take the first 16 digits of its identity.
        files: by name, content or a function that writes the file at a path.
        head: what the manifest says besides the files (kind, parents, ...).

    Raises:
        InputError: a file name is not safe.
        StoreError: the file system refused, or another content has this name.
        CorruptionError: the same content is there already, and damaged.
    """
    _check_names(list(files))
    temporary = parent / temporary_name()
    with file_errors(parent):
        temporary.mkdir()
        try:
            for file, writer in files.items():
                _write(temporary / file, writer)
            failpoint("files-written")
            manifest = manifest_for(temporary, list(files), head)
            _write(temporary / MANIFEST, as_json(manifest, "manifest"))
            flush_folder(temporary)
            target = parent / (name or identity(manifest))
            failpoint("before-rename")
            return _settle(temporary, target, manifest)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _settle(temporary: Path, target: Path, manifest: dict[str, Any]) -> Opened:
    try:
        os.rename(temporary, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(temporary)
        there = open_directory(target)
        if identity(there.manifest) != identity(manifest):
            raise StoreError(
                "another content has this name already",
                where=str(target),
                got=identity(there.manifest),
                fix="`headstart doctor --verify` shows whether it is damaged",
            ) from None
        there.check()
        flush_folder(target.parent)  # whoever renamed it may have been killed before this
        return there
    flush_folder(target.parent)
    failpoint("after-rename")
    return Opened(target, manifest)


def manifest_for(folder: Path, names: list[str], head: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of files in a folder."""
    files = {}
    for name in sorted(names):
        files[name] = {"sha256": digest_of(folder / name), "size": (folder / name).stat().st_size}
    return {"format": _FORMAT, **head, "files": files}


def identity(manifest: Mapping[str, Any]) -> str:
    """The name of a manifest's content: 16 hex digits."""
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def open_directory(path: Path, expected: str | None = None) -> Opened:
    """A committed folder with its manifest, whose names are checked; the files are not read yet.

    Args:
        path: the folder.
        expected: its identity; None when its name is not one.

    Raises:
        CorruptionError: folder or manifest are missing, or the manifest is none or has another identity.
        StoreError: a newer Headstart wrote the folder.
    """
    file = path / MANIFEST
    try:
        if not path.is_dir() or path.is_symlink():
            wanted = f"a folder with identity {expected}" if expected else "a folder"
            raise CorruptionError(str(path), expected=wanted, found="no such folder")
        manifest, found = _read_manifest(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(file, "a manifest", f"{type(error).__name__}: {error}", error) from error
    if expected is not None and found != expected:
        raise CorruptionError(str(file), expected=f"identity {expected}", found=f"identity {found}")
    if manifest["format"] > _FORMAT:
        raise StoreError(
            "a newer Headstart wrote this folder",
            where=str(path),
            got=f"format {manifest['format']}, this one knows {_FORMAT}",
            fix="upgrade headstart",
        )
    return Opened(path, manifest)


def _read_manifest(file: Path) -> tuple[dict[str, Any], str]:
    info = file.lstat()
    if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST_MANIFEST:
        raise ValueError(f"not a regular file of at most {LARGEST_MANIFEST} bytes")
    manifest = parse_json(file.read_bytes())
    if type(manifest["format"]) is not int or manifest["format"] < 1:
        raise ValueError("no format number")
    _check_names(list(manifest["files"]))
    for name, entry in manifest["files"].items():
        if type(entry["size"]) is not int or not _DIGEST.fullmatch(entry["sha256"]):
            raise ValueError(f"file entry {name!r}")
    for name, kind in _HEADS.get(file.parent.parent.name, {}).items():
        if not isinstance(manifest[name], kind):
            raise ValueError(f"{name} is {type(manifest[name]).__name__}")
    if not all(isinstance(parent, str) for parent in manifest.get("parents", ())):
        raise ValueError("a parent that is no id")
    return manifest, identity(manifest)


def _check_names(names: list[str]) -> None:
    known: set[str] = set()
    for name in names:
        lower = name.lower()  # two names may be one file on a system that does not tell their case
        safe = _NAME.fullmatch(name) and not _DEVICE.fullmatch(name) and not name.endswith(".")
        if not safe or lower == MANIFEST or lower in known:
            raise InputError(
                "a file name is not safe",
                where="artifact",
                got=name,
                fix=f"use letters, digits, dot, dash and underscore, up to 120; no {MANIFEST}, no name of a "
                "device, and none that differs from another only in case",
            )
        known.add(lower)


def check_file(path: Path, sha256: str, size: int) -> None:
    """Checks a file against its digest; once per process and file state, by default.

    ``HEADSTART_VERIFY`` is ``once`` (default), ``always`` or ``never``.

    Raises:
        CorruptionError: missing, no regular file, or another content.
        InputError: the variable has another value.
    """
    policy = os.environ.get("HEADSTART_VERIFY", "once")
    if policy not in _POLICIES:
        raise InputError(
            "an environment variable has no meaning",
            where="HEADSTART_VERIFY",
            got=policy,
            fix=f"set it to one of: {', '.join(_POLICIES)}",
        )
    try:
        info = path.lstat()
    except OSError as error:
        raise _unreadable(path, f"sha256 {sha256}", "no such file", error) from error
    if not stat.S_ISREG(info.st_mode):
        raise CorruptionError(str(path), expected="a regular file", found="a link or special file")
    if info.st_size != size:
        raise CorruptionError(str(path), expected=f"{size} bytes", found=f"{info.st_size} bytes")
    key = (str(path), sha256, info.st_ino, info.st_mtime_ns, info.st_size)
    if policy == "never" or (policy == "once" and key in _verified):
        return
    try:
        found = digest_of(path)
    except OSError as error:
        raise _unreadable(path, f"sha256 {sha256}", f"unreadable: {error}", error) from error
    if found != sha256:
        raise CorruptionError(str(path), expected=f"sha256 {sha256}", found=f"sha256 {found}")
    _verified.add(key)


def _unreadable(path: Path, expected: str, found: str, error: Exception) -> StoreError:
    """What it means that a file cannot be read: damage, unless this user has no right to."""
    if isinstance(error, PermissionError):
        return StoreError(
            "the file system refused",
            where=str(path),
            got=error.strerror or "no permission",
            fix="give this user the right to read there",
        )
    return CorruptionError(str(path), expected=expected, found=found)


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checkpoint(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Writes the next checkpoint of a run; the one before goes only when this one is durable."""
    with file_errors(folder):
        make_folder(folder)
        sweep(folder)
        numbers = _checkpoints(folder)
        name = f"ckpt-{(numbers[-1] if numbers else 0) + 1:06d}"
        files: dict[str, Writer] = {
            "tensors.safetensors": lambda path: save_tensors(tensors, path),
            "state.json": as_json(document, "checkpoint"),
        }
        commit_directory(folder, name, files, {"kind": "checkpoint"})
        failpoint("checkpoint-written")
        for number in numbers:
            shutil.rmtree(folder / f"ckpt-{number:06d}", ignore_errors=True)
        failpoint("checkpoint-done")


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that verifies, or None: a run without one begins again."""
    for number in reversed(_checkpoints(folder)):
        try:
            opened = open_directory(folder / f"ckpt-{number:06d}")
            tensors, state = load_tensors(opened.file("tensors.safetensors")), opened.json("state")
        except StoreError:
            continue
        if isinstance(state, dict):
            return tensors, state
    return None


def _checkpoints(folder: Path) -> list[int]:
    names = [entry.name for entry in folder.glob("ckpt-*")]
    return sorted(int(name[5:]) for name in names if name[5:].isdecimal())


def _write(path: Path, writer: Writer) -> None:
    largest = LARGEST_MANIFEST if path.name == MANIFEST else _LARGEST_DOCUMENT
    if isinstance(writer, bytes):
        if path.suffix == ".json" and len(writer) > largest:
            raise InputError(
                "a document is too large",
                where=path.name,
                got=f"{len(writer)} bytes",
                fix=f"keep it below {largest} bytes; large values belong into tensors",
            )
        path.write_bytes(writer)
    else:
        writer(path)
    flush_file(path)
