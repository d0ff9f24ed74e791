"""Files that survive a power cut: the order of the steps, and what is swept afterwards."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import StoreError
from headstart.lifecycle import durable


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed and put in place, in order."""
    found: list[str] = []
    sync, replace = os.fsync, os.replace

    def recorded(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def put(source: Path, target: Path) -> None:
        found.append(f"replace {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(os, "replace", put)
    return found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, steps: list[str]) -> None:
    durable.write_file(tmp_path / "new" / "x", b"one")
    assert (tmp_path / "new" / "x").read_bytes() == b"one"
    assert steps[0] == tmp_path.name  # the new folder's own name
    assert steps[1].startswith(".tmp-") and steps[2:] == ["replace x", "new"]
    durable.write_file(tmp_path / "new" / "x", b"two")
    assert (tmp_path / "new" / "x").read_bytes() == b"two" and os.listdir(tmp_path / "new") == ["x"]


def test_the_whole_content_is_written_before_it_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    durable.write_file(tmp_path / "x", b"12345")
    assert sizes[0] == 5


def test_a_write_that_fails_keeps_the_old_content_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.write_file(tmp_path / "x", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def nowhere(path: Path, mode: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="free some space"):
            durable.write_file(tmp_path / "x", b"new")
    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", nowhere)
        with pytest.raises(StoreError, match="Read-only"):  # there is no temporary file yet
            durable.write_file(tmp_path / "x", b"new")
    assert os.listdir(tmp_path) == ["x"] and (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "free some space and run again; nothing that was committed is lost"),
        (errno.EDQUOT, "free some of your quota and run again; nothing that was committed is lost"),
        (errno.EROFS, "use a folder on a file system that can be written"),
        (errno.EACCES, "give this user the right to write there"),
        (errno.EPERM, "give this user the right to write there"),
        (errno.EIO, "check the folder and its file system"),
        (None, "check the folder and its file system"),
    ],
)
def test_what_the_file_system_refuses_comes_with_advice(number: int | None, fix: str) -> None:
    error = OSError("odd") if number is None else OSError(number, os.strerror(number), "/there")
    with pytest.raises(StoreError) as caught, durable.file_errors(Path("/here")):
        raise error
    assert caught.value.fix == fix and caught.value.__cause__ is error
    assert (caught.value.where, caught.value.got) == (
        ("/here", "odd") if number is None else ("/there", os.strerror(number))
    )
    with pytest.raises(StoreError, match="OSError"), durable.file_errors(Path("x")):
        raise OSError


def test_nothing_stays_open_when_flushing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    durable.flush_file(tmp_path)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    for flush in (durable.flush_file, durable.flush_folder):
        with pytest.raises(OSError, match="Input"):
            flush(tmp_path)
    assert open_files() == before


def test_a_folder_that_may_not_be_opened_is_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    durable.flush_folder(tmp_path)
    with pytest.raises(PermissionError):
        durable.flush_file(tmp_path)


def test_folders_are_made_from_the_top_and_each_name_is_flushed(tmp_path: Path, steps: list[str]) -> None:
    made = durable.make_folder(tmp_path / "a" / "b" / "c")
    assert made == [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert steps == [tmp_path.name, "a", "b"]
    assert durable.make_folder(tmp_path / "a" / "b" / "c") == [] and len(steps) == 3


def old(path: Path) -> Path:
    os.utime(path, (0, 0), follow_symlinks=False)
    return path


def test_files_and_links_are_swept_but_not_what_they_point_to(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "kept").touch()
    (inside / "deep").mkdir()
    (inside / ".tmp-ffffffff-1-link").symlink_to(outside)
    (inside / ".tmp-ffffffff-1-file").touch()
    (inside / ".tmp-ffffffff-1-folder" / "a").mkdir(parents=True)
    (inside / ".tmp-ffffffff-1-folder" / "a" / "b").touch()
    old(inside / ".tmp-ffffffff-1-folder" / "a")
    for path in (*inside.iterdir(), outside / "kept"):
        old(path)
    durable.sweep(inside)
    assert os.listdir(inside) == ["deep"] and (outside / "kept").exists()
    durable.sweep(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    durable.sweep(tmp_path / "file")


def test_another_machine_has_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = tmp_path / ".tmp-ffffffff-1-a"
    entry.touch()
    os.utime(entry, (1000, 1000))
    monkeypatch.setattr(time, "time", lambda: 4600.0)
    durable.sweep(tmp_path)
    assert entry.exists()
    monkeypatch.setattr(time, "time", lambda: 4600.5)
    durable.sweep(tmp_path)
    assert not entry.exists()


@pytest.mark.parametrize(
    ("error", "alive"),
    [
        (None, True),
        (PermissionError(), True),  # another user's
        (ProcessLookupError(), False),
        (OverflowError(), False),  # no such number can be
    ],
)
def test_a_process_of_this_machine_is_asked_whether_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, alive: bool
) -> None:
    asked: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        if error:
            raise error

    name = re.sub(rf"-{os.getpid()}-", "-4242-", durable.temporary_name())
    (tmp_path / name).touch()
    monkeypatch.setattr(os, "kill", kill)
    durable.sweep(tmp_path)
    assert asked == [(4242, 0)] and (tmp_path / name).exists() is alive


def test_a_name_without_a_process_is_left_its_hour(tmp_path: Path) -> None:
    machine = durable.temporary_name().split("-")[1]
    (tmp_path / f".tmp-{machine}-x-a").touch()
    durable.sweep(tmp_path)
    assert len(os.listdir(tmp_path)) == 1
    old(tmp_path / f".tmp-{machine}-x-a")
    durable.sweep(tmp_path)
    assert not os.listdir(tmp_path)


def test_a_temporary_name_tells_machine_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    name = durable.temporary_name()
    assert re.fullmatch(rf"\.tmp-[0-9a-f]{{8}}-{os.getpid()}-[0-9a-f]{{12}}", name)
    assert durable.temporary_name() != name and durable.temporary_name().split("-")[1] == name.split("-")[1]
    machine: Any = durable._machine.__wrapped__
    assert machine() == name.split("-")[1]
    boot, link = Path("/proc/sys/kernel/random/boot_id"), os.readlink("/proc/self/ns/pid")
    seen = {machine()}
    real = Path.read_text
    with monkeypatch.context() as patched:  # after another start of the machine
        patched.setattr(Path, "read_text", lambda p, **o: "x" if p == boot else real(p, **o))
        seen.add(machine())
    with monkeypatch.context() as patched:  # in another container
        patched.setattr(os, "readlink", lambda p: f"{link}1" if p == "/proc/self/ns/pid" else "")
        seen.add(machine())
    with monkeypatch.context() as patched:  # on another machine
        patched.setattr(durable.platform, "node", lambda: "elsewhere")
        seen.add(machine())
    assert len(seen) == 4
    with monkeypatch.context() as patched:  # on a system that tells neither
        patched.setattr(Path, "read_text", lambda p, **o: (_ for _ in ()).throw(OSError()))
        patched.setattr(os, "readlink", lambda p: (_ for _ in ()).throw(OSError()))
        assert re.fullmatch("[0-9a-f]{8}", machine()) and machine() not in seen
