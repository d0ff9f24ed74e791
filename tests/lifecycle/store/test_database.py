"""How the store's database is opened, set up, refused and closed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from headstart.errors import InputError, StoreError
from headstart.lifecycle import arrivals, database, seals
from headstart.lifecycle.database import Database
from headstart.lifecycle.places import Places
from headstart.lifecycle.store import Store


def opened(folder: Path) -> int:
    """How many files of a store's database this process has open."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one that lists the folder
            continue
    return sum(link.startswith(str(folder / "store.db")) for link in links)


def mounted(monkeypatch: pytest.MonkeyPatch, *mounts: tuple[str, str]) -> None:
    lines = [f"{n} 0 0:1 / {point} rw shared:1 - {kind} x rw\n" for n, (point, kind) in enumerate(mounts)]
    real = Path.read_text

    def read(self: Path, *args: str | None, **options: str | None) -> str:
        if str(self) != "/proc/self/mountinfo":
            return real(self, *args, **options)
        return "".join(lines)

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(
    ("kind", "safe"),
    [
        *((kind, False) for kind in ("nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "fuse.sshfs")),
        *((kind, True) for kind in ("ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuse.other")),
    ],
)
def test_the_kinds_of_network_drives(monkeypatch: pytest.MonkeyPatch, kind: str, safe: bool) -> None:
    mounted(monkeypatch, ("/", "ext4"), ("/n", kind))
    if safe:
        database._refuse_network(Path("/n/s/store.db"))
    else:
        with pytest.raises(InputError, match=f"/n is {kind}") as caught:
            database._refuse_network(Path("/n/s/store.db"))
        assert caught.value.where == "/n/s/store.db"


def test_the_nearest_mount_counts_and_of_two_at_one_place_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(monkeypatch, ("/n/local", "ext4"), ("/", "ext4"), ("/n", "nfs"), ("/next", "nfs"))
    database._refuse_network(Path("/n/local/s/store.db"))
    database._refuse_network(Path("/nothing/store.db"))
    with pytest.raises(InputError, match="network"):
        database._refuse_network(Path("/n/locals/store.db"))
    mounted(monkeypatch, ("/", "ext4"), ("/", "nfs"))
    with pytest.raises(InputError, match="network"):
        database._refuse_network(Path("relative/store.db"))
    monkeypatch.setattr(Path, "is_file", lambda self: False)  # a system without /proc
    database._refuse_network(Path("/n/s/store.db"))


def test_every_connection_is_set_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with store._db.read() as connection:
        asked = {
            n: connection.exec_driver_sql(f"PRAGMA {n}").scalar() for n in ("foreign_keys", "synchronous")
        }
        assert asked == {"foreign_keys": 1, "synchronous": 2}
        assert connection.connection.dbapi_connection.isolation_level is None  # type: ignore[union-attr]


def test_closing_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s")
    assert opened(store.root) > 0
    store.close()
    assert opened(store.root) == 0

    def fail(*given: object) -> None:
        raise StoreError("stop", where="here", got="x", fix="y")

    monkeypatch.setattr(arrivals, "finish_removals", fail)
    with pytest.raises(StoreError, match="stop"):
        Store(tmp_path / "s")
    assert opened(store.root) == 0


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with store._db.write() as writer:
        values = seals.sealed({"name": "champion", "version": "x"})
        writer.execute(database.aliases.insert().values(**values))
        assert store.champion_id() is None
    assert store.champion_id() == "x"


def test_a_view_does_not_change_while_it_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    count = sa.select(sa.func.count()).select_from(database.aliases)
    with store._db.read() as reader:
        assert reader.execute(count).scalar() == 0
        with store._db.write() as writer:
            writer.execute(database.aliases.insert().values(name="champion", version="x", seal=""))
        assert reader.execute(count).scalar() == 0
    with store._db.read() as reader:
        assert reader.execute(count).scalar() == 1


def test_what_the_database_says_of_itself(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    assert store._db.damage() == [] and store._db.sqlite
    assert store._db.place == f"sqlite:///{store.root}/store.db"
    with pytest.raises(StoreError, match="no such table: songs") as caught, store._db.read() as connection:
        connection.exec_driver_sql("SELECT * FROM songs")
    assert caught.value.where == store._db.place and caught.value.got == "no such table: songs"
    with pytest.raises(RuntimeError, match="ours"), store._db.read():
        raise RuntimeError("ours")


def test_a_postgresql_url_gets_our_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Database("postgresql://u@h/x")
    assert known.url.drivername == "postgresql+psycopg" and not known.sqlite
    assert known.damage() == []  # asks no server
    assert known.engine.pool._pre_ping  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="no driver"):
        Database("postgresql+nosuch://u@h/x")
    with pytest.raises(InputError, match="SQLite or PostgreSQL"):
        Database("mysql://u@h/x")
    with pytest.raises(InputError, match="no database URL"):
        Database("nonsense")
    monkeypatch.setattr(database, "_refuse_network", lambda path: pytest.fail("not for PostgreSQL"))
    Database("postgresql://u@h/x")
    Database("sqlite://")  # in memory: no path to look at


def test_a_folder_with_an_empty_database_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    sqlite3.connect(tmp_path / "s" / "store.db").close()
    (tmp_path / "s" / "store.db").touch()
    assert Store(tmp_path / "s").versions() == []
    assert Store(tmp_path / "s").verify() == []


PARTS = ("versions", "arrivals", "runs", "memory", "report", "update.lock")


@pytest.mark.parametrize("name", [*PARTS, None, "mine"])
def test_a_folder_with_nothing_but_parts_of_a_store_may_become_one(tmp_path: Path, name: str | None) -> None:
    (tmp_path / "s").mkdir()
    if name:
        (tmp_path / "s" / name).mkdir()
    if name == "mine":
        with pytest.raises(InputError, match="something else than a store") as caught:
            Store(tmp_path / "s")
        assert caught.value.got == "mine" and os.listdir(tmp_path / "s") == ["mine"]
    else:
        assert Store(tmp_path / "s").versions() == []


def test_a_file_is_no_place_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    with pytest.raises(InputError, match="location is a file"):
        Store(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == b""


def test_the_copies_of_a_remote_store_have_a_place_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    url, files = "postgresql://u:s3cret@h/x", "memory://bucket/a"
    places = Places.of(url, files)
    name = hashlib.sha256(f"{files} postgresql://h/x".encode()).hexdigest()[:16]
    assert places.root == tmp_path / "headstart" / name and places.remote is not None and places.url == url
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert Places.of(url, files).root == tmp_path / "home" / ".cache" / "headstart" / name
    local = Places.of(url, str(tmp_path / "files"))
    assert (local.root, local.remote) == (tmp_path / "files", None)


def test_what_sqlite_keeps_for_itself_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    connection = sqlite3.connect(tmp_path / "s" / "store.db")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)")
    connection.execute("DROP TABLE t")  # its counter's table stays
    connection.commit()
    connection.close()
    assert Store(tmp_path / "s").versions() == []


@pytest.mark.parametrize("words", ["database or disk is full", "could not extend: No space left on device"])
def test_a_full_disk_comes_with_advice(words: str) -> None:
    assert database._advice(words) == "free some space and run again; nothing that was committed is lost"
    assert database._advice("locked").startswith("check that it can be reached and written")


@pytest.mark.parametrize("right", [os.R_OK, os.W_OK])
def test_reading_and_writing_must_be_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: int
) -> None:
    Store(tmp_path / "s").close()
    asked: list[Path] = []

    def access(path: Path, rights: int) -> bool:
        asked.append(path)
        return not rights & right  # this one is missing

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "s")
    assert asked == [tmp_path / "s" / "store.db"]


def test_what_cannot_be_removed_now_stops_nothing(tmp_path: Path) -> None:
    Places.of(tmp_path / "s", None).remove(tmp_path / "gone")
