"""The campaign of mutants itself: which faults it makes, and that it knows what tests notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability._campaign import Setting
from benchmarks.reliability._mutants import mutants
from benchmarks.reliability._trials import Project
from benchmarks.reliability.mutation import interval, outcome, try_all

TINY = '''\
def larger(a, b):
    """The larger one."""
    if a >= b:
        return a
    return b


def untested():
    return 1
'''
TESTS = """\
from tiny import larger


def test_larger():
    assert larger(1, 2) == larger(2, 1) == larger(2, 2) == 2
"""


def names(source: str) -> list[str]:
    return [mutant.name for mutant in mutants(source, "x.py")]


def test_every_kind_of_fault_is_made() -> None:
    assert names("def f(a, b=2):\n    return a < b and not a + 1\n") == [
        "f: 2 -> 3",
        "f: return a < b and (not a + 1) -> return None",
        "f: a < b and (not a + 1) -> (a < b or not a + 1)",
        "f: a < b -> (a <= b)",
        "f: not a + 1 -> (a + 1)",
        "f: a + 1 -> (a - 1)",
        "f: 1 -> 2",
    ]
    assert names("if g(a, k=1):\n    h('x')\n") == [
        "module: g(a, k=1) -> True",
        "module: g(a, k=1) -> False",
        "module: g(a, k=1) -> (g(a))",
        "module: 1 -> 2",
        "module: h('x') -> pass",
        "module: 'x' -> ''",
    ]
    assert names("x = True if a is None else -b\n") == [
        "module: True if a is None else -b -> (True)",
        "module: True if a is None else -b -> (-b)",
        "module: True -> False",
        "module: -b -> (b)",
    ]


@pytest.mark.parametrize(
    "source",
    [
        '"""Text."""\n__all__ = ["x"]\n',
        "raise InputError('what', where='here', got=1 + 1, fix=f'{1}')" + "\n",
        "if TYPE_CHECKING:\n    x = 1\n",
        "@dataclass(frozen=True)\nclass A:\n    x: Literal[1]\n    def __repr__(self):\n        return 'A'\n",
        "from pathlib import Path\n\n\ndef f(a, b):\n    x = a / b\n",
    ],
)
def test_what_breaks_no_promise_is_left_alone(source: str) -> None:
    assert [name for name in names(source) if "raise" not in name] == []


def test_every_mutant_is_another_program_of_the_same_names() -> None:
    source = "def f(é, a=(1,\n        2)):\n    return ['é', é < 1, a]\n"
    found = mutants(source, "x.py")
    assert len(found) == len({mutant.id for mutant in found}) == len({m.source for m in found}) == 6
    for mutant in found:
        compile(mutant.source, "x.py", "exec")


def test_a_fault_is_noticed_and_an_equal_program_is_not(tmp_path: Path) -> None:
    root = tmp_path / "copy"
    for name, text in {"src/tiny.py": TINY, "tests/test_tiny.py": TESTS}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    setting = Setting(folder=tmp_path, full=True)
    every = mutants(TINY, "tiny.py")
    arguments = (Project(root, "src"), every, ["tiny.py"], ["tests/test_tiny.py"], tmp_path / "kept", setting)
    tried = try_all(*arguments)
    assert {mutant.name: tried[mutant.id]["result"] for mutant in every} == {
        "larger: a >= b -> True": "killed",
        "larger: a >= b -> False": "killed",
        "larger: a >= b -> (a > b)": "survived",  # of two that are equal it does not matter which
        "larger: return a -> return None": "killed",
        "larger: return b -> return None": "killed",
        "untested: return 1 -> return None": "not run",
        "untested: 1 -> 2": "not run",
    }
    assert (root / "src/tiny.py").read_text(encoding="utf-8") == TINY
    found = outcome(every, tried, 7)
    assert (found.cases, found.violations, found.met) == (7, 3, False)
    assert found.notes[0] == "tiny.py:3 larger: a >= b -> (a > b) - not explained"
    sample = outcome(every, tried, 20)
    assert sample.notes == ("a sample: 7 of 20 mutants", *found.notes)
    assert sample.counts["95 % interval of the score"] == [round(bound, 4) for bound in interval(4, 7)]
    # What is known is not tried again; tests that changed are.
    trials = tmp_path / "kept" / "trials.jsonl"
    assert try_all(*arguments) == tried and len(trials.read_text(encoding="utf-8").splitlines()) == 5
    (root / "tests/test_tiny.py").write_text("def test_larger():\n    import tiny\n    tiny.larger(1, 2)\n")
    assert {entry["result"] for entry in try_all(*arguments).values()} == {"survived", "not run"}


def test_the_interval_is_wilsons() -> None:
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
