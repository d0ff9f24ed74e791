"""A runner for the command line, and stand-ins for the parts below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headstart.cli import main

from .cli_fakes import MINIMAL, RECORD, FakeStore, replace_module

Run = Callable[..., Result]


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


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeStore:
    """A stand-in store in the folder ``store``."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.db").touch()
    fake = FakeStore("store")

    def opened(location: str, artifacts: str | None = None) -> FakeStore:
        fake.location, fake.artifacts = str(location), artifacts
        return fake

    replace_module(monkeypatch, "headstart.lifecycle.store", Store=opened)
    return fake


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
