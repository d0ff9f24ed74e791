"""Notes of an unfinished run: the results of its finished stages, one JSON file each.

A note carries the digest of its content. One that is damaged counts as missing, and its stage, which
is a function of recorded inputs, is simply run again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.lifecycle.artifact import write_file

__all__ = ["Notes"]


@dataclass(frozen=True)
class Notes:
    """Notes in one folder; ``write`` is off on processes that only read."""

    folder: Path
    write: bool = True

    def get(self, name: str) -> Any:
        """The note's content, or None when there is none that can be trusted."""
        try:
            stored = json.loads((self.folder / f"{name}.json").read_bytes())
            value = stored["value"]
            return value if stored["sha256"] == _digest(value) else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def put(self, name: str, value: Any) -> Any:
        """Writes the note durably and returns it as it will be read back."""
        if self.write:
            text = json.dumps({"sha256": _digest(value), "value": value})
            write_file(self.folder / f"{name}.json", text.encode())
        return json.loads(json.dumps(value))

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """The note if it is there, else the result of the work, noted."""
        known = self.get(name)
        return self.put(name, work()) if known is None else known


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def remove_tree(folder: Path) -> None:
    """Removes a run's folder; what cannot be removed now is left for the next time."""
    for path in sorted(folder.rglob("*"), reverse=True):
        try:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:
            continue
    try:
        os.rmdir(folder)
    except OSError:
        return
