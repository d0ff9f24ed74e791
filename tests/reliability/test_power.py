"""The power fails: the fast subset of the campaign, its recorder and its model of a disk."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from benchmarks.reliability import power
from benchmarks.reliability._campaign import Outcome, Setting
from benchmarks.reliability._crash import Disk, Entry, File, Luck

SYNCED, ALL = Luck(0, 0), Luck(1, 1)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    found = power.run(Setting(folder=tmp_path_factory.mktemp("power")))[0]
    if not found.cases:
        pytest.skip(found.notes[0])
    return found


def test_what_had_returned_is_there_after_a_power_cut(outcome: Outcome) -> None:
    assert outcome.examples == () and outcome.violations == 0
    assert outcome.cases == 48 and outcome.met
    assert outcome.counts["different images"] > 40
    steps = {kind for kind, _ in power.STEPS}
    assert steps - set(outcome.counts["images by step"]) <= {"move-log", "reopen"}


@pytest.mark.parametrize("without", power.DEAF)
def test_the_check_sees_what_happens_where_flushes_do_nothing(outcome: Outcome, without: str) -> None:
    broken, _, of = outcome.counts["broken without flushes"][without].partition(" of ")
    assert int(broken) > int(of) // 2


def test_without_a_compiler_the_campaign_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = power.run(Setting(folder=tmp_path))[0]
    assert not found.met and found.cases == 0 and "gcc" in found.notes[0]


def disk(*entries: tuple[str, int, int, bytes, bytes]) -> Disk:
    made = Disk("/d")
    for entry in entries:
        made.apply(Entry(*entry))
    return made


def draws(made: Disk, luck: Luck) -> list[object]:
    random = Random(0)
    return [made.image(luck, random) for _ in range(300)]


WRITTEN = ("o", 3, 0, b"/d/a", b""), ("w", 3, 0, b"x" * 1000, b"")
FLUSHED = ("s", 3, 0, b"", b"")
FOLDER = ("o", 4, 0, b"/d", b""), ("s", 4, 0, b"", b"")


def test_a_file_is_there_for_sure_when_it_and_its_folder_were_flushed() -> None:
    assert draws(disk(*WRITTEN, FLUSHED, *FOLDER), Luck(0.5, 0.5)) == [{"a": b"x" * 1000}] * 300


def test_a_name_that_was_not_flushed_may_be_missing() -> None:
    found = draws(disk(*WRITTEN, FLUSHED), Luck(0.5, 0.5))
    assert {} in found and {"a": b"x" * 1000} in found and len({str(f) for f in found}) == 2


def test_content_that_was_not_flushed_may_be_missing_torn_or_zeros() -> None:
    found = draws(disk(*WRITTEN, *FOLDER), Luck(0.5, 0.5))
    for content in (b"", bytes(1000), b"x" * 512, b"x" * 512 + bytes(488), b"x" * 1000):
        assert {"a": content} in found
    assert {"a": bytes(512) + b"x" * 488} in found  # only the second sector
    assert draws(disk(*WRITTEN, *FOLDER), ALL) == [{"a": b"x" * 1000}] * 300


def test_a_renaming_is_there_whole_or_not_at_all() -> None:
    renamed = ("r", 0, 0, b"/d/a", b"/d/b")
    full = b"x" * 1000
    found = draws(disk(*WRITTEN, FLUSHED, *FOLDER, renamed), Luck(0.5, 0.5))
    assert {str(f) for f in found} == {str({"a": full}), str({"b": full})}
    again = ("r", 0, 0, b"/d/b", b"/d/c")
    found = draws(disk(*WRITTEN, FLUSHED, *FOLDER, renamed, again), Luck(0.5, 0.5))
    assert {str(f) for f in found} == {str({name: full}) for name in "abc"}


def test_a_removed_name_may_still_be_there() -> None:
    found = draws(disk(*WRITTEN, FLUSHED, *FOLDER, ("u", 0, 0, b"/d/a", b"")), Luck(None, 1))
    assert {} in found and {"a": b"x" * 1000} in found


def test_a_new_size_reaches_the_disk_with_its_flush() -> None:
    made = disk(*WRITTEN, FLUSHED, *FOLDER, ("t", 3, 10, b"", b""), FLUSHED, ("w", 3, 20, b"y", b""), FLUSHED)
    assert made.image(SYNCED, Random(0)) == {"a": b"x" * 10 + bytes(10) + b"y"}


def test_a_flush_that_does_nothing_is_for_showing_what_flushes_are_for() -> None:
    made = Disk("/d", deaf=(File,))
    for entry in (*WRITTEN, FLUSHED, *FOLDER):
        made.apply(Entry(*entry))
    assert {"a": b""} in draws(made, SYNCED)
