"""A place from which nothing else can be changed, for campaigns that run faulty or attacked code as root.

Hostile files and mutants of the code that deletes are tried for real. Where this process is root it first
moves into a mount namespace of its own in which every file system is read-only but for the folders named;
the machine outside never sees it. Other users cannot change what is not theirs anyway.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["confine"]

_NEW_MOUNTS, _READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18
_OPTIONS = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "relatime": 1 << 21}
# Devices and the kernel's own file systems stay as they are.
_LEFT = ("proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs", "debugfs")


def confine(writable: Sequence[Path]) -> bool:
    """Makes everything but these folders read-only for this process and its children.

    Returns:
        Whether that was done: only for root, and where the kernel allows it.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not Path("/proc/self/mountinfo").is_file():
        return False
    kept = [str(path.resolve()) for path in (*writable, Path("/dev/shm"))]  # locks between processes
    try:
        _call(ctypes.CDLL(None, use_errno=True).unshare, _NEW_MOUNTS)
        _mount(None, "/", _RECURSIVE | _PRIVATE)
        for folder in kept:
            if Path(folder).is_dir():
                _mount(folder, folder, _BIND | _RECURSIVE)
        for point, kind, options in _mounts():
            if kind not in _LEFT and not any(Path(point).is_relative_to(folder) for folder in kept):
                flags = sum(value for name, value in _OPTIONS.items() if name in options)
                with contextlib.suppress(FileNotFoundError):  # hidden by another mount over it
                    _mount(None, point, _REMOUNT | _BIND | _READ_ONLY | flags)
    except OSError:
        return False
    return True


def _mounts() -> list[tuple[str, str, list[str]]]:
    """Place, kind and options of every mount."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        point = fields[4].encode().decode("unicode_escape")
        found.append((point, right.split()[0], fields[5].split(",")))
    return found


def _mount(source: str | None, target: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    name = None if source is None else source.encode()
    _call(libc.mount, name, target.encode(), None, ctypes.c_ulong(flags), None)


def _call(function: object, *arguments: object) -> None:
    if function(*arguments) != 0:  # type: ignore[operator]
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
