"""Files that survive a power cut: written beside, flushed, renamed, and the folder flushed."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from headstart.errors import StoreError

__all__ = [
    "file_errors",
    "flush_file",
    "flush_folder",
    "make_folder",
    "sweep",
    "temporary_name",
    "tensors_file",
    "write_file",
]

_PREFIX = ".tmp-"
# Another machine's temporary folder in which nothing was written for so long is taken for abandoned.
_GRACE_SECONDS = 3600.0


def temporary_name() -> str:
    """A name no other writer uses. It tells machine and process, so that only what the dead left is swept."""
    return f"{_PREFIX}{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def sweep(folder: Path) -> None:
    """Removes temporary files and folders whose writer is gone; never those of a process that lives."""
    for entry in folder.glob(f"{_PREFIX}*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if _abandoned(entry):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file's content, all or nothing, durably."""
    with file_errors(path):
        make_folder(path.parent)
        temporary = path.parent / temporary_name()
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


@contextlib.contextmanager
def tensors_file(path: Path) -> Iterator[None]:
    """Inside, safetensors writes a new file: a full disk is a clear error, and whoever may read other new
    files there may read this one (safetensors lets in its owner only)."""
    path.touch()
    mode = path.stat().st_mode
    try:
        yield
    except SafetensorError as error:
        raise StoreError(
            "the tensors cannot be written",
            where=str(path),
            got=str(error),
            fix="check the space that is left and the folder; nothing that was committed is lost",
        ) from error
    path.chmod(mode)


def make_folder(folder: Path) -> list[Path]:
    """Makes a folder and those above it, durably; gives the ones that were missing, the highest first."""
    missing = [path for path in (*reversed(folder.parents), folder) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_folder(path.parent)
    return missing


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
            got=error.strerror or str(error) or type(error).__name__,
            fix=advice.get(error.errno or 0, "check the folder and its file system"),
        ) from error


@functools.cache
def _machine() -> str:
    # A process id means something only on one machine, since one start of it, in one container.
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _abandoned(entry: Path) -> bool:
    machine, _, rest = entry.name.removeprefix(_PREFIX).partition("-")
    pid = rest.partition("-")[0]
    if machine == _machine() and pid.isdecimal():
        return not _alive(int(pid))
    newest = max(path.lstat().st_mtime for path in (entry, *entry.glob("*")))
    return time.time() - newest > _GRACE_SECONDS


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
