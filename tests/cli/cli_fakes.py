"""Stand-ins for the parts below the command line."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headstart.errors import StoreError

MINIMAL = """
store = "store"
data = "new.csv"
[task]
kind = "tabular-classification"
target = "label"
"""

RECORD: dict[str, Any] = {
    "index": 1,
    "winner": "warm",
    "decision": "promote",
    "reasons": ["better on 30 of 100 items"],
    "verdict": {"decision": "promote"},
    "version": "a" * 64,
    "candidate_score": 0.91,
    "champion_score": None,
    "steps_spent": 120,
    "seconds": 1.5,
    "findings": [{"severity": "warning", "text": "The labels shifted.", "advice": "Look at them."}],
}


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    """Puts a module of these members where the code imports ``name`` from."""
    module = ModuleType(name)
    vars(module).update(members)
    parent, _, last = name.rpartition(".")
    monkeypatch.setitem(sys.modules, name, module)
    holder = sys.modules.get(parent)
    if holder is not None:
        monkeypatch.setattr(holder, last, module, raising=False)
    return module


@dataclasses.dataclass(frozen=True)
class FakeEvent:
    created: float
    kind: str
    version: str
    previous: str | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class FakeStore:
    """Stands in for the store: two versions, the first in service."""

    location: str
    artifacts: str | None = None
    promoted: list[tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=list)
    damage: list[Any] = dataclasses.field(default_factory=list)

    @property
    def root(self) -> Path:
        return Path(self.location)

    def champion(self) -> Any:
        return self.versions()[0]

    def versions(self) -> list[Any]:
        made = {"files": {"model.safetensors": {"size": 12}}}
        return [
            SimpleNamespace(id=letter * 64, parents=(), path=self.root / letter, manifest=made)
            for letter in "ab"
        ]

    def champion_id(self) -> str:
        return "a" * 64

    def version_ids(self) -> list[str]:
        return [version.id for version in self.versions()]

    def version(self, start: str) -> Any:
        found = [version for version in self.versions() if version.id.startswith(start)]
        if not found:
            raise StoreError("no such version", where="store", got=start, fix="look at the log")
        return found[0]

    def arrivals(self) -> list[Any]:
        return [SimpleNamespace(index=1)]

    def log(self) -> list[FakeEvent]:
        first = FakeEvent(1767225600.0, "promote", "b" * 64, None, "the first")
        return [first, FakeEvent(1767312000.0, "promote", "a" * 64, "b" * 64, "better")]

    def records(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        return [("run", RECORD)] if kind == "done" else []

    def promote(self, version: str, **how: Any) -> None:
        self.promoted.append((version, how))

    def rollback(self, to: str | None = None, *, reason: str = "") -> Any:
        return self.version(to or "b")

    def verify(self) -> list[Any]:
        return self.damage
