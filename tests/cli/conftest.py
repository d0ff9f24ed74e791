"""A runner for the command line, and stand-ins for the parts below it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import headstart
from headstart.cli import main

Run = Callable[..., Result]

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


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HEADSTART_STORE", "HEADSTART_DATA", "HF_HOME", "NO_COLOR", "RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command line given as separate words."""

    def call(*words: str) -> Result:
        return CliRunner().invoke(main, list(words))

    return call


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small configuration in the working folder."""
    path = tmp_path / "headstart.toml"
    path.write_text(MINIMAL)
    return path


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
    time: str
    kind: str
    version: str
    before: str | None
    reason: str


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

    def version(self, start: str) -> Any:
        found = [version for version in self.versions() if version.id.startswith(start)]
        if not found:
            raise headstart.errors.StoreError(
                "no such version", where="store", got=start, fix="look at the log"
            )
        return found[0]

    def arrivals(self) -> list[Any]:
        return []

    def log(self) -> list[FakeEvent]:
        first = FakeEvent("2026-01-01T00:00:00Z", "promote", "b" * 64, None, "the first")
        return [first, FakeEvent("2026-01-02T00:00:00Z", "promote", "a" * 64, "b" * 64, "better")]

    def records(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        return [("run", RECORD)] if kind == "done" else []

    def promote(self, version: str, **how: Any) -> None:
        self.promoted.append((version, how))

    def rollback(self, to: str | None = None, *, reason: str = "") -> Any:
        return self.version(to or "b")

    def verify(self) -> list[Any]:
        return self.damage


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeStore]:
    """A stand-in store in the folder ``store``."""
    (tmp_path / "store").mkdir()
    fake = FakeStore("store")

    def opened(location: str, artifacts: str | None = None) -> FakeStore:
        fake.location, fake.artifacts = str(location), artifacts
        return fake

    replace_module(monkeypatch, "headstart.lifecycle.store", Store=opened)
    yield fake


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, store: FakeStore) -> SimpleNamespace:
    """A stand-in for ``headstart.api``; ``calls`` holds what it was called with."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    made = SimpleNamespace(calls=calls, record=dict(RECORD), ranking=[], judged={"verdict": {}})

    def update(*args: Any, **options: Any) -> Any:
        calls.append(("update", args, options))
        return SimpleNamespace(
            decision=made.record["decision"],
            version=store.version("a"),
            record=made.record,
            report_path=Path("store/report/report.html"),
            to_dict=lambda: {**made.record, "loss": float("nan")},
        )

    def race(*args: Any, **options: Any) -> Any:
        calls.append(("race", args, options))
        return made.ranking

    def judge(*args: Any, **options: Any) -> Any:
        calls.append(("judge", args, options))
        return made.judged

    replace_module(
        monkeypatch, "headstart.lifecycle.tasks", task_from_config=lambda kind, **options: (kind, options)
    )
    replace_module(
        monkeypatch,
        "headstart.api",
        update=update,
        race=race,
        judge=judge,
        story=lambda store: {"arrivals": []},
    )
    return made


@pytest.fixture
def fails() -> Callable[..., str]:
    """Checks that a result is one line of error with exit code 2 (or another), and returns the line."""

    def check(result: Result, code: int = 2) -> str:
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("headstart: error: ")
        for part in (" | where: ", " | got: ", " | fix: "):
            assert part in lines[0], lines[0]
        return lines[0]

    return check
