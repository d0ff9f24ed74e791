"""`init` guesses the task from real files and writes what runs; `gate` and proofs read files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.cli._guess import guess
from headstart.cli._results import proofs, verdict_of
from headstart.errors import InputError
from headstart.lifecycle.config import load_config
from headstart.lifecycle.data.read import read
from headstart.lifecycle.data.rows import Rows

Run = Callable[..., Any]

TABLE = {"a": np.arange(60) / 7, "b": np.arange(60)}
TEXTS = np.array(["a fairly long text here"] * 60, dtype=object)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({**TABLE, "label": np.arange(60) % 3}, "tabular-classification"),
        ({**TABLE, "label": np.arange(60) % 2 == 0}, "tabular-classification"),
        ({**TABLE, "label": np.array(["x", "y"] * 30, dtype=object)}, "tabular-classification"),
        ({**TABLE, "label": np.arange(60) / 3}, "tabular-regression"),
        ({**TABLE, "label": np.arange(60)}, "tabular-regression"),
        ({"say": TEXTS, "label": np.arange(60) % 2}, "text-classification"),
        ({"say": TEXTS, "a": np.arange(60), "label": np.arange(60) % 2}, "tabular-classification"),
        (
            {"soil": np.array(["clay"] * 60, dtype=object), "label": np.arange(60) % 2},
            "tabular-classification",
        ),
        (
            {"image": np.array([b"png"] * 60, dtype=object), "label": np.arange(60) % 2},
            "image-classification",
        ),
    ],
)
def test_the_kind_is_guessed_from_the_columns(columns: dict[str, Any], kind: str) -> None:
    assert guess(Rows(columns)) == (kind, {"target": "label"})


def test_plain_text_is_a_language_model() -> None:
    assert guess(Rows({"text": TEXTS})) == ("language-model", {})


def test_a_target_that_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(InputError, match="--target"):
        guess(Rows(TABLE))
    assert guess(Rows(TABLE), "a") == ("tabular-regression", {"target": "a"})


def test_init_without_data_writes_an_example_that_runs(run: Run, tmp_path: Path) -> None:
    result = run("init", "example")
    assert result.exit_code == 0, result.output
    config = load_config("example/headstart.toml")
    assert config.data is not None
    first, second = read(Path(config.data)), read(Path("example/arrival-2.csv"))
    assert len(first) == len(second) == 600 and first.digest() != second.digest()
    task = config.task()
    task.check(second, task.infer(first))


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("we ird'\"\u00e9.csv", 'a,what "is" it\n' + "1.5,yes\n2.5,no\n" * 9, "tabular-classification"),
        ("t.jsonl", '{"say": "so many words here", "what \\"is\\" it": "x"}\n' * 9, "text-classification"),
        ("t.txt", "to be or not to be\n" * 9, "language-model"),
    ],
)
def test_init_writes_a_configuration_of_the_users_data(
    name: str, text: str, kind: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    target = ["--target", 'what "is" it'] if kind != "language-model" else []
    result = run("init", "deep/er", "--data", name, *target, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["kind"] == kind
    config = load_config("deep/er/headstart.toml")
    assert config.data is not None and Path(config.data).read_text(encoding="utf-8") == text
    assert config.kind == kind and config.task().name


def test_init_never_overwrites_unasked(run: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "headstart.toml").write_text("mine")
    assert "--force" in fails(run("init"))
    assert (tmp_path / "headstart.toml").read_text() == "mine"
    assert not (tmp_path / "arrival-1.csv").exists()
    assert run("init", "--force").exit_code == 0
    assert "there already" in fails(run("init"))


def test_init_refuses_what_it_cannot_use(run: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "--data" in fails(run("init", "--target", "x"))
    fails(run("init", "--data", "none.csv"))
    (tmp_path / "a.csv").write_text("p,q\n1,2\n")
    assert "p, q" in fails(run("init", "--data", "a.csv"))
    (tmp_path / "file").write_text("")
    fails(run("init", "file"))


def test_proofs_come_from_the_result_files(tmp_path: Path) -> None:
    (tmp_path / "warm.small.json").write_text(
        '{"verdict": "reproduced", "proves": {"scratch": "reproduced"}}'
    )
    (tmp_path / "bad.small.json").write_text("{")
    assert proofs(tmp_path) == {"scratch": "reproduced"}
    assert verdict_of("warm", tmp_path) == "reproduced"
    assert verdict_of("bad", tmp_path) == verdict_of("none", tmp_path) == "not yet"
