"""Writes the report's three files, each all or nothing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.report.html import render_html
from headstart.report.markdown import render_markdown

__all__ = ["write"]


def write(story: Mapping[str, Any], folder: Path) -> Path:
    """Writes ``report.html``, ``report.md`` and ``report.json`` and returns the page's path.

    Args:
        story: from ``headstart.api.story``.
        folder: made if it is not there.
    """
    clean = _finite(story)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.json": json.dumps(clean, indent=1, allow_nan=False),
        "report.md": render_markdown(clean),
        "report.html": render_html(clean),
    }
    for name, text in contents.items():
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8", errors="replace")
        os.replace(temporary, folder / name)
    return folder / "report.html"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
