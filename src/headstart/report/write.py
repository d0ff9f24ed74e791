"""Writes the report's three files, each all or nothing."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.report.html import render_html
from headstart.report.markdown import render_markdown

__all__ = ["write"]


def write(story: Mapping[str, Any], folder: Path) -> Path:
    """Writes ``report.html``, ``report.md`` and ``report.json`` and returns the page's path.

    A reader sees the old file or the new one, never a part; the page comes last, so that its twins are
    never older than it.

    Args:
        story: from ``headstart.api.story``; NaN and infinity become null.
        folder: made if it is not there.

    Raises:
        OSError: the folder cannot be written to; files that were there are as they were.
    """
    clean = _json(story)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.json": json.dumps(clean, indent=1, allow_nan=False) + "\n",
        "report.md": render_markdown(clean),
        "report.html": render_html(clean),
    }
    for name, text in contents.items():
        _replace(folder / name, text)
    return folder / "report.html"


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private; a report is for everybody whom the folder lets in.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
