"""Importing Headstart and asking it for help load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "sqlalchemy", "pydantic", "rich", "jinja2", "plotly", "fsspec", "safetensors")

RUN = """
import json, sys
sys.argv = ["headstart", *{arguments}]
code = 0
try:
    from headstart.cli import main
    main()
except SystemExit as stop:
    code = stop.code or 0
print(json.dumps({{"code": code, "loaded": sorted(set(sys.modules) & set({heavy}))}}), file=sys.stderr)
"""


def loaded(code: str) -> tuple[str, dict[str, object]]:
    """What the program printed, and the last line of its standard error as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, object] = json.loads(done.stderr.splitlines()[-1])
    return done.stdout, seen


def test_importing_headstart_loads_nothing_heavy() -> None:
    code = "import headstart, json, sys; headstart.__version__; dir(headstart)\n"
    code += f"print(json.dumps({{'loaded': sorted(set(sys.modules) & set({HEAVY}))}}), file=sys.stderr)"
    assert loaded(code)[1] == {"loaded": []}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["methods"], ["methods", "--json"]], ids=" ".join
)
def test_a_quick_verb_loads_nothing_heavy(arguments: list[str]) -> None:
    out, seen = loaded(RUN.format(arguments=arguments, heavy=HEAVY))
    light = [name for name in HEAVY if name != "rich"] if arguments == ["methods"] else list(HEAVY)
    assert seen["code"] == 0
    assert not set(light) & set(seen["loaded"])  # type: ignore[call-overload]
    assert out.strip()


def test_methods_are_listed_as_json() -> None:
    out, _ = loaded(RUN.format(arguments=["methods", "--json"], heavy=HEAVY))
    assert "shrink-perturb" in json.dumps(json.loads(out))
