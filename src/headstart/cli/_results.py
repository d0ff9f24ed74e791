"""What the committed result files say about the methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "proofs", "verdict_of"]

RESULTS = Path(__file__).parents[3] / "results"
_NONE = "not yet"


def proofs(folder: Path | None = None) -> dict[str, str]:
    """For each method that a recipe was run for at ``small`` scale, whether its claim was reproduced."""
    files = sorted((folder or RESULTS).glob("*.small.json"))
    found = {slug: verdict for path in files for slug, verdict in _read(path).get("proves", {}).items()}
    return {slug: str(verdict) for slug, verdict in found.items()}


def verdict_of(recipe: str, folder: Path | None = None) -> str:
    """The verdict of a recipe at ``small`` scale, or ``not yet``."""
    return str(_read((folder or RESULTS) / f"{recipe}.small.json").get("verdict", _NONE))


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}
