"""The fast subset of the fuzzing campaign, and that it sees what breaks its promise."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from benchmarks.reliability import fuzz
from benchmarks.reliability._campaign import Setting
from benchmarks.reliability._fuzz.driver import Case, Limits
from benchmarks.reliability._fuzz.driver import fuzz as run
from benchmarks.reliability._fuzz.verbs import Called, problem_of
from benchmarks.reliability._fuzz.watch import Watch

LIMITS = Limits(seconds=60.0)


@pytest.mark.parametrize("name", fuzz.SURFACES)
def test_whatever_is_handed_in_is_used_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    found = fuzz.surface(name, Setting(folder=tmp_path), 500)
    assert found.broken == []
    assert found.kinds.total() == 500
    kinds = {kind.partition(",")[0] for kind in found.kinds}
    assert kinds >= KINDS[name]
    # Some inputs are sound.
    assert any(key.endswith(("loaded", "read", "exit 0")) for key in found.became), found.became


KINDS = {
    "config": {"bytes", "damaged", "lines", "near", "grammar", "odd"},
    "arguments": {"init", "update", "gate", "promote", "rollback", "log", "show", "doctor", "demo", "recipe"},
    "data": {"", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt"},
    "store": {"file-damaged", "file-replaced", "row-changed", "row-gone", "database-bytes", "table-changed"},
}


class Bad:
    """Cases that go wrong in every way, by number."""

    def __init__(self, folder: Path) -> None:
        self.numbers = iter(range(100))

    def case(self, random: Random) -> Case:
        number = next(self.numbers)
        if random.random() == Random("0 3").random():
            os._exit(9)
        if number == 1:
            return Case("bad", "escaped", "KeyError")
        return Case("good", "read")


def test_a_case_that_ends_its_process_is_counted_and_the_others_are_run(tmp_path: Path) -> None:
    found = run(Bad, tmp_path, range(6), seed=0, limits=LIMITS)
    assert [line for line in found.broken if "case 3: the process died" in line]
    assert [line for line in found.broken if "case 1, bad: KeyError" in line]
    assert found.kinds.total() == 6


class Slow:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def case(self, random: Random) -> Case:
        time.sleep(0.05)
        return Case("slow", "read")


def test_a_case_over_the_limit_is_a_violation_and_one_that_is_stuck_is_ended(tmp_path: Path) -> None:
    found = run(Slow, tmp_path, range(1), seed=0, limits=Limits(seconds=0.01))
    assert len(found.broken) == 1 and "took 0." in found.broken[0]
    found = run(Slow, tmp_path, range(1), seed=0, limits=Limits(seconds=0.001))
    assert found.broken == ["case 0: the process died or was stuck"]


class Outside:
    def __init__(self, folder: Path) -> None:
        self.folder, self.watch = folder, Watch(folder)

    def case(self, random: Random) -> Case:
        for place in (self.folder, self.folder.parent):
            (place / "made").mkdir()
            (place / "made" / "file").write_text("x")
            os.rename(place / "made" / "file", place / "made" / "other")
        (self.folder.parent / "made" / "other").read_text()
        return Case("outside", "read", " ".join(Path(path).name for path in self.watch.seen))


def test_what_is_written_outside_of_the_folder_is_seen(tmp_path: Path) -> None:
    found = run(Outside, tmp_path, range(1), seed=0, limits=LIMITS)
    assert found.broken == ["case 0, outside: made file file other"]


ONE = "headstart: error: x | fix: y\n"


@pytest.mark.parametrize(
    ("code", "err", "words", "good"),
    [
        (2, ONE, ("log",), True),
        (0, "", ("log",), True),
        (1, "", ("update", "--check"), True),
        (1, "", ("doctor",), True),
        (1, "", ("log",), False),
        (2, "", ("log",), False),
        (3, ONE, ("log",), False),
        (2, ONE + "more\n", ("log",), False),
        (2, "headstart: error: x\n", ("log",), False),
        (1, "headstart: error: this is a bug in Headstart | fix: y\n", ("log",), False),
        (2, "headstart: error: the task's code failed | fix: y\n", ("update",), False),
        (0, "UserWarning: x\n", ("update",), False),
        (2, "Traceback\n" + ONE, ("log", "--traceback"), True),
    ],
)
def test_what_a_verb_may_say(code: int, err: str, words: tuple[str, ...], good: bool) -> None:
    assert (problem_of(Called(words, code, "", err)) is None) == good
