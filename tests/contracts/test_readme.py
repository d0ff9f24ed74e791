"""The README and the docs: examples run, links lead somewhere, generated parts are fresh."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import inspect
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headstart.papers import discover

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]

RESULT: dict[str, Any] = {
    "recipe": "shrink-perturb",
    "scale": "small",
    "command": "headstart recipe run shrink-perturb --scale small",
    "seeds": [0, 1, 2],
    "versions": {"torch": "2.13.0"},
    "verdict": "partly reproduced",
    "proves": {"dash": "not reproduced"},
    "criteria": [{"name": "gap | closed", "passed": True, "value": 0.25, "bound": None}],
    "table": {
        "columns": ["arm", "accuracy", "steps"],
        "rows": [["warm", 34.941, 3790], ["scratch", None, 10533]],
    },
    "raw": {},
    "seconds": 61.4,
}


def build() -> ModuleType:
    """docs/build.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("docs/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def python_example() -> str:
    (text,) = blocks(ROOT / "README.md", "python")
    return text


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python process in ``folder``, on one thread, without settings of the developer's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADSTART_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def write_csv(path: Path, rows: int = 240) -> None:
    """Four measures and one of three species that they determine up to a little noise."""
    draw, species = random.Random(0), ("setosa", "versicolor", "virginica")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sepal_length", "sepal_width", "petal_length", "petal_width", "species"])
        for index in range(rows):
            kind = index % 3
            measures = [draw.gauss(kind * step, 0.3) for step in (1.0, -0.5, 2.0, 0.8)]
            writer.writerow([*(f"{value:.4f}" for value in measures), species[kind]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_csv(tmp_path / "monday.csv")
    return tmp_path


def test_the_two_commands_stand_on_the_first_screen() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:24]
    assert any(line.startswith("make demo") for line in first)
    assert any(line.startswith("make test") for line in first)


def test_the_examples_are_short() -> None:
    assert len([line for line in python_example().splitlines() if line.strip()]) <= 12
    (toml,) = blocks(ROOT / "README.md", "toml")
    assert len([line for line in toml.splitlines() if line.strip()]) <= 10


def test_the_python_example_runs(folder: Path) -> None:
    done = run(folder, "-c", python_example())
    assert done.returncode == 0, done.stderr
    decision, version, report = done.stdout.split()
    assert decision == "promote"
    assert re.fullmatch(r"[0-9a-f]+", version)
    assert (folder / report).is_file()


def test_the_toml_example_runs(folder: Path) -> None:
    (toml,) = blocks(ROOT / "README.md", "toml")
    (folder / "headstart.toml").write_text(toml, encoding="utf-8")
    model = python_example().partition("\ntask =")[0].replace("import headstart as hs\n", "")
    (folder / "nets.py").write_text(model, encoding="utf-8")
    main = "import sys; from headstart.cli import main; sys.argv = ['headstart', *sys.argv[1:]]; main()"
    done = run(folder, "-c", main, "update", "--config", "headstart.toml", "--data", "monday.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decision"] == "promote"
    assert (folder / "runs" / "flowers").is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (page.parent / link.partition("#")[0]).exists()]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_python_in_the_docs_runs(page: Path) -> None:
    for text in blocks(page, "python"):
        exec(compile(text, page.name, "exec"), {})


def test_the_generated_pages_are_fresh() -> None:
    done = run(ROOT, "docs/build.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_documented() -> None:
    from headstart.lifecycle import budget, settings
    from headstart.lifecycle.tasks.configured import KINDS

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for kind, make in KINDS.items():
        part = page.partition(f'\n### `kind = "{kind}"`\n')[2].partition("\n##")[0]
        for name in inspect.signature(make).parameters:
            assert re.search(rf"\| `{name}` \| .* \| \S.* \|", part), (kind, name)
    sections = re.split(r"\n## `\[(\w+)\]`\n", page)
    text = dict(zip(sections[1::2], sections[2::2], strict=True))
    kinds = {
        "budget": budget.Budget,
        "train": settings.TrainSettings,
        "race": settings.RaceSettings,
        "gate": settings.GateSettings,
    }
    for section, kind in kinds.items():
        for field in dataclasses.fields(kind):
            default = "" if field.default is None else f"`{json.dumps(field.default)}`"
            assert f"| `{field.name}` | {default} |" in text[section], (section, field.name)


def copy_of_the_pages(root: Path) -> Path:
    lifecycle = ROOT / "src" / "headstart" / "lifecycle"
    sources = [lifecycle / "settings.py", lifecycle / "budget.py", *(lifecycle / "tasks").glob("*.py")]
    for path in (ROOT / "README.md", ROOT / "docs" / "configuration.md", *sources):
        copy = root / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (root / "results").mkdir()
    return root


def test_a_new_result_makes_the_pages_stale_until_they_are_built(tmp_path: Path) -> None:
    docs, root = build(), copy_of_the_pages(tmp_path)
    assert docs.main([], root=root) == 0
    assert docs.main(["--check"], root=root) == 0
    (root / "results" / "shrink-perturb.small.json").write_text(json.dumps(RESULT), encoding="utf-8")
    before = (root / "README.md").read_bytes()
    assert docs.main(["--check"], root=root) == 1
    assert (root / "README.md").read_bytes() == before
    assert docs.main([], root=root) == 0
    assert docs.main(["--check"], root=root) == 0

    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "| warm | 34.94 | 3790 |" in readme
    assert "| scratch | – | 10533 |" in readme
    rows = {row.split("]")[0][3:]: row for row in readme.splitlines() if row.startswith("| [")}
    assert rows["shrink-perturb"].endswith("| partly reproduced (small) |")
    assert rows["dash"].endswith("| not reproduced (small) |")
    assert rows["fire"].endswith("| not proved yet |")
    page = (root / "docs" / "results.md").read_text(encoding="utf-8")
    assert r"| gap \| closed | 0.25 | – | yes |" in page
    assert "3 seeds, 61 s, torch 2.13.0" in page


def test_the_table_of_promises_is_read_from_what_was_counted(tmp_path: Path) -> None:
    docs, root = build(), copy_of_the_pages(tmp_path)
    outcome = {
        "figure": "R3", "promise": "found or harmless", "cases": 10500, "violations": 2, "bar": "none silent",
        "met": False, "counts": {"flipped bit": 7}, "notes": ["a note"], "examples": ["an example"],
        "command": "python -m benchmarks.reliability corruption",
    }  # fmt: skip
    counted = {"versions": {"torch": "2.13.0"}, "cores": 2, "figures": {"R3": outcome}}
    (root / "results" / "reliability.json").write_text(json.dumps(counted), encoding="utf-8")
    assert docs.main(["--check"], root=root) == 1
    assert docs.main([], root=root) == 0
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "| [R3](docs/reliability.md#r3) | found or harmless | 10,500 | 2 |" in readme
    page = (root / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert "**not met**" in page and "| flipped bit | 7 |" in page and "- an example" in page


def test_a_toy_result_proves_nothing_and_the_largest_scale_counts() -> None:
    docs = build()
    toy, small, full = ({**RESULT, "scale": scale} for scale in ("toy", "small", "full"))
    assert docs.proof("shrink-perturb", [toy]) == "not proved yet"
    assert docs.proof("shrink-perturb", [toy, small]) == "partly reproduced (small)"
    assert docs.proof("shrink-perturb", [small, {**full, "verdict": "reproduced"}]) == "reproduced (full)"


def test_every_method_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for located in discover():
        assert f"| [{located.paper.slug}](docs/methods.md#{located.paper.slug}) |" in text
