"""Writes the report's three files, each all or nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.lifecycle.durable import write_file
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
        StoreError: the folder cannot be written to; files that were there are as they were.
    """
    clean = _json(story)
    folder = Path(folder)
    contents = {
        "report.json": json.dumps(clean, indent=1, allow_nan=False) + "\n",
        "report.md": render_markdown(clean),
        "report.html": render_html(clean),
    }
    for name, text in contents.items():
        write_file(folder / name, text.encode())
    return folder / "report.html"


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
