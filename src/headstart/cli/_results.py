"""What the committed result files say about a method."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["RESULTS", "proof_of"]

RESULTS = Path(__file__).parents[3] / "results"


def proof_of(slug: str, folder: Path | None = None) -> str:
    """The verdict of the method's recipe at ``small`` scale, or ``not yet`` without a result."""
    path = (folder or RESULTS) / f"{slug}.small.json"
    try:
        verdict = json.loads(path.read_bytes())["verdict"]
    except (OSError, ValueError, KeyError, TypeError):
        return "not yet"
    return str(verdict.get("status", "not yet") if isinstance(verdict, dict) else verdict)
