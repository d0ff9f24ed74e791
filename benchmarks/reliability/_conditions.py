"""Conditions under which a store cannot be written: each sets in, and is lifted when its block ends.

File systems in memory are mounted where only this process sees them; that needs no right to mount anything
for others, and nothing of them is left, whatever becomes of the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PAGE", "denied", "give_up_privileges", "mount_memory", "no_inodes", "no_space", "read_only"]

PAGE = 4096
_libc = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_READ_ONLY, _REMOUNT, _PRIVATE, _RECURSIVE = 1, 32, 1 << 18, 1 << 14
_CAPABILITIES = 0x20080522


def mount_memory(place: Path, *, pages: int, inodes: int) -> None:
    """Mounts a file system in memory, for this process alone.

    Raises:
        OSError: the system does not permit it.
    """
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_MOUNTS):
        _called(_libc.unshare(_NEW_MOUNTS | _NEW_USER))
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    _called(_libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None))
    options = f"size={pages * PAGE},nr_inodes={inodes},mode=755,huge=never"
    _called(_libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, options.encode()))


def give_up_privileges() -> None:
    """From here on the rights of files hold for this process, whoever runs it."""
    head, none = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    _called(_libc.capset(head, none))


@contextlib.contextmanager
def no_space(place: Path, left: int) -> Iterator[None]:
    """All pages of the file system but so many are taken."""
    ballast = place / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, (os.statvfs(place).f_bfree - left) * PAGE)
    yield
    ballast.unlink()


@contextlib.contextmanager
def no_inodes(place: Path, left: int) -> Iterator[None]:
    """All inodes of the file system but so many are taken."""
    many = place / "many"
    many.mkdir()
    for number in range(os.statvfs(place).f_ffree - left):
        (many / str(number)).touch()
    yield
    shutil.rmtree(many)


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """The file system cannot be written to."""
    _called(_libc.mount(None, os.fsencode(place), None, _REMOUNT | _READ_ONLY, None))
    yield
    _called(_libc.mount(None, os.fsencode(place), None, _REMOUNT, None))


@contextlib.contextmanager
def denied(path: Path, mode: int) -> Iterator[None]:
    """A file or folder has other rights."""
    before = path.stat().st_mode
    path.chmod(mode)
    yield
    path.chmod(before)


def _called(failed: int) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
