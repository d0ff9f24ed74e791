"""Why a mutant that no test notices is no hole in the tests. Read by the campaign ``mutation``.

A key is the mutant's file, function and change; a reason says what the change cannot alter.
"""

from __future__ import annotations

__all__ = ["EXPLAINED"]

EXPLAINED: dict[str, str] = {}
