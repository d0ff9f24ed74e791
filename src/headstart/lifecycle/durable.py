"""Files that survive a power cut: written beside, flushed, renamed, and the folder flushed."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from headstart.errors import StoreError

__all__ = ["file_errors", "flush_file", "flush_folder", "temporary_name", "write_file"]


def temporary_name() -> str:
    """A name no other writer uses; it tells the writer's process, so that only its own is swept."""
    return f".tmp-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file's content, all or nothing, durably."""
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / temporary_name()
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


def flush_file(path: Path) -> None:
    """Forces a file's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Forces a folder's names to disk (where the system can)."""
    with contextlib.suppress(PermissionError):
        flush_file(path)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into one clear error."""
    advice = {
        errno.ENOSPC: "free some space and run again; nothing that was committed is lost",
        errno.EDQUOT: "free some of your quota and run again; nothing that was committed is lost",
        errno.EROFS: "use a folder on a file system that can be written",
        errno.EACCES: "give this user the right to write there",
        errno.EPERM: "give this user the right to write there",
    }
    try:
        yield
    except OSError as error:
        raise StoreError(
            "the file system refused",
            where=str(error.filename or path),
            got=error.strerror or str(error),
            fix=advice.get(error.errno or 0, "check the folder and its file system"),
        ) from error
