"""What this process writes outside of a folder, told by Python itself as it happens."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["Watch"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Events that change a name, and where among their arguments the changed paths stand.
_CHANGES = {
    "os.link": slice(1, 2),
    "os.mkdir": slice(0, 1),
    "os.remove": slice(0, 1),
    "os.rename": slice(0, 2),
    "os.rmdir": slice(0, 1),
    "os.symlink": slice(1, 2),
    "os.truncate": slice(0, 1),
    "sqlite3.connect": slice(0, 1),
}
# Inputs name these on purpose; nothing can be made there.
_ASKED = ("/dev/", "/proc/")


class Watch:
    """Notes every path outside of the folder that is opened for writing, made, renamed or removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.seen: list[str] = []
        # What the system and the libraries keep elsewhere is kept here, too.
        tempfile.tempdir = self.folder
        os.environ["XDG_CACHE_HOME"] = os.path.join(self.folder, "cache")
        for name in ("HEADSTART_DATA", "HF_HOME"):  # where the doctor tries whether it may write
            os.environ.pop(name, None)
        sys.dont_write_bytecode = True
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            paths: tuple[Any, ...] = (path,) if flags & _WRITES else ()
        elif event in _CHANGES:
            paths = arguments[_CHANGES[event]]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                self._look(os.fsdecode(path))

    def _look(self, path: str) -> None:
        try:
            place = os.path.realpath(path)
        except (OSError, ValueError):
            return
        if not f"{place}{os.sep}".startswith((f"{self.folder}{os.sep}", *_ASKED)):
            self.seen.append(place)
