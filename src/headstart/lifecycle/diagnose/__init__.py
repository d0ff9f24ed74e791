"""Diagnosis: what changed with an arrival, before anything is trained."""

from __future__ import annotations

from headstart.lifecycle.diagnose.findings import diagnose, shifted

__all__ = ["diagnose", "shifted"]
