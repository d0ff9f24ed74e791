"""Where a store may be, what is refused, and that a failed opening leaves nothing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from headstart.errors import CorruptionError, HeadstartError, InputError, StoreError
from headstart.lifecycle import artifact, database
from headstart.lifecycle.artifact import open_directory
from headstart.lifecycle.database import Database
from headstart.lifecycle.durable import write_file
from headstart.lifecycle.remote import without_secrets
from headstart.lifecycle.store import Store

from .store_drafts import commit


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_whose_name_means_something_in_a_url_is_a_folder(tmp_path: Path) -> None:
    for name in ("a?b", "a#b", "a%20b", "a b", "é", "a&mode=ro"):
        store = Store(tmp_path / name)
        version = commit(store, 1.0)
        assert Store(str(tmp_path / name)).versions() == [version], name
        store.close()
    assert len(list(tmp_path.iterdir())) == 6


def test_a_relative_store_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = Store("s")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.versions() == [] and commit(store, 1.0).path.parent == tmp_path / "s" / "versions"


@pytest.mark.parametrize(
    "what", ["file", "foreign", "empty name", "nul", "long", "garbage", "other database"]
)
def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path, what: str) -> None:
    place: Path | str = tmp_path / "s"
    if what == "file":
        (tmp_path / "s").touch()
    elif what == "foreign":
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "thesis.tex").touch()
    elif what == "garbage":
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "store.db").write_bytes(b"no database at all" * 100)
    elif what == "other database":
        (tmp_path / "s").mkdir()
        with sqlite3.connect(tmp_path / "s" / "store.db") as connection:
            connection.execute("create table songs (title text)")
        connection.close()
    else:
        place = {"empty name": " ", "nul": "a\0b", "long": str(tmp_path / ("x" * 300))}[what]
    before = tree(tmp_path)
    with pytest.raises(HeadstartError) as caught:
        Store(place)
    assert caught.value.where and caught.value.fix
    assert {name for name in tree(tmp_path) if not name.endswith(("-wal", "-shm"))} == before


def test_another_format_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with store._db.write() as connection:
        connection.execute(sa.update(database.info).values(value="99"))
    with pytest.raises(StoreError, match="format 99"):
        Store(tmp_path / "s")


def test_a_database_that_cannot_be_reached_leaves_no_folder(tmp_path: Path) -> None:
    artifacts = str(tmp_path / "deep" / "files")
    with pytest.raises(StoreError) as caught:
        Store("sqlite:////proc/none/store.db", artifacts=artifacts)
    assert caught.value.fix and not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/x", "postgresql://u:s3cret@h:port/x", "://u:s3cret@h"])
def test_no_password_is_shown(tmp_path: Path, url: str) -> None:
    for artifacts in (None, str(tmp_path / "a")):
        with pytest.raises(InputError) as caught:
            Store(url, artifacts=artifacts)
        assert "s3cret" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    shown = Database("postgresql://u:s3cret@h/x?password=s3cret")
    assert repr(shown) == "Database('postgresql+psycopg://h/x')"
    assert without_secrets("s3://key:s3cret@bucket/a?token=s3cret") == "s3://bucket/a"


def test_a_network_drive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {tmp_path}/n rw shared:1 - nfs4 host:/x rw\n"
    real = Path.read_text

    def read(self: Path, *args: str | None, **options: str | None) -> str:
        return mounts if str(self) == "/proc/self/mountinfo" else real(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", read)
    with pytest.raises(InputError, match="nfs4") as caught:
        Store(tmp_path / "n" / "s")
    assert "PostgreSQL" in caught.value.fix and not list(tmp_path.iterdir())
    assert Store(tmp_path / "local").versions() == []


def test_sqlite_is_set_up_to_survive_a_power_cut(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with store._db.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 60000}


def test_a_writer_holds_the_lock_from_its_beginning(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    other = sqlite3.connect(tmp_path / "s" / "store.db", timeout=0)
    with store._db.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")

    def fail() -> None:
        with store._db.write() as connection:
            connection.execute(database.aliases.insert().values(name="champion", version="x", seal=""))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert store.champion_id() is None


def test_opening_sweeps_what_the_dead_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    left = store.places.versions / ".tmp-ffffffff-1-a"
    (left / "deep").mkdir(parents=True)
    for path in (left / "deep", left):
        os.utime(path, (0, 0))
    Store(tmp_path / "s")
    assert not left.exists()


def test_the_folder_of_a_run_is_on_disk_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, flushed = Store(tmp_path / "s"), list[str]()

    def sync(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", sync)
    write_file(store.run_folder("r") / "note.json", b"1")
    assert str(tmp_path / "s" / "runs") in flushed[:1]


def test_a_database_that_may_not_be_written_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would make files beside it that nobody may write even when the rights are back."""
    Store(tmp_path / "s").close()
    before, allowed = tree(tmp_path), os.path.exists
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "store.db" and allowed(path))
    with pytest.raises(StoreError, match=r"cannot be written .* fix: give this user the right"):
        Store(tmp_path / "s")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("what", ["is_dir", "lstat", "open"])
def test_what_may_not_be_read_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = Store(tmp_path / "s")
    version = commit(store, 1.0)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("HEADSTART_VERIFY", "always")
    monkeypatch.setattr(*((artifact, "open") if what == "open" else (Path, what)), denied, raising=False)
    with pytest.raises(
        StoreError, match=r"Permission denied .* fix: give this user the right to read"
    ) as caught:
        version.weights() if what == "open" else open_directory(version.path, version.id)
    assert not isinstance(caught.value, CorruptionError)


def test_a_journal_without_its_database_is_what_a_power_cut_left(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "store.db-journal").write_bytes(bytes(512))
    assert Store(tmp_path / "s").verify() == []
