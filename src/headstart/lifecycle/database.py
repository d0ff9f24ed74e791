"""The store's database: SQLite by default, PostgreSQL by URL. Only ids and JSON; weights live in files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from headstart.errors import CorruptionError, HeadstartError, InputError, StoreError
from headstart.lifecycle.remote import without_secrets

__all__ = ["Database", "aliases", "arrivals", "events", "records", "versions"]

FORMAT = 2
_meta = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

info = sa.Table("headstart", _meta, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))
versions = sa.Table(
    "versions",
    _meta,
    sa.Column("number", _Id, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, unique=True, nullable=False),
    sa.Column("parents", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
)
aliases = sa.Table(
    "aliases",
    _meta,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
)
events = sa.Table(
    "events",
    _meta,
    sa.Column("number", _Id, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("previous", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
)
arrivals = sa.Table(
    "arrivals",
    _meta,
    sa.Column("number", _Id, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, unique=True, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("kept", sa.Boolean, nullable=False),
    sa.Column("summary", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
)
records = sa.Table(
    "records",
    _meta,
    sa.Column("number", _Id, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("mark", sa.Text, nullable=False),  # seals number, kind and key, to be read without the payload
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
    sa.UniqueConstraint("kind", "key"),
)


class Database:
    """Connections, and transactions that cannot interleave.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user@host/name``.

    Raises:
        InputError: the URL is none of these, its driver is missing, or SQLite would be on a network drive.
    """

    def __init__(self, url: str | sa.URL) -> None:
        try:
            self.url = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise InputError(
                "this is no database URL",
                where="store",
                got=without_secrets(str(url)),
                fix="use sqlite:///path/store.db or postgresql://user@host/name",
            ) from error
        if self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if not self.sqlite and self.url.get_backend_name() != "postgresql":
            raise InputError(
                "a store is kept in SQLite or PostgreSQL",
                where="store",
                got=self.place,
                fix="give a folder, or a postgresql:// URL",
            )
        if self.sqlite and self.url.database:
            _refuse_network(Path(self.url.database))
        try:
            self.engine = self._engine()
        except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise InputError(
                "there is no driver for this database",
                where="store",
                got=str(error),
                fix="pip install 'headstart[postgres]'",
            ) from error

    def __repr__(self) -> str:
        return f"Database({self.place!r})"

    @property
    def place(self) -> str:
        """The address without user, password and options."""
        return without_secrets(self.url.render_as_string(hide_password=True))

    def create(self) -> None:
        """Makes the tables where they are missing.

        Raises:
            StoreError: a newer Headstart, or something else, wrote this database.
        """
        with self.write() as connection:
            tables, programs = _contents(connection) if self.sqlite else (set(), set())
            if programs or (tables and info.name not in tables):
                raise StoreError(
                    "this database belongs to something else",
                    where=self.place,
                    got=", ".join(sorted(programs or tables)[:5]),
                    fix="give a folder of its own to the store",
                )
            missing = sorted(set(_meta.tables) - tables) if tables else []
            if missing:
                raise CorruptionError(self.place, expected=f"a table {missing[0]}", found="no such table")
            _meta.create_all(connection)
            row = connection.execute(sa.select(info.c.value).where(info.c.name == "format")).scalar()
            if row is None:
                connection.execute(info.insert().values(name="format", value=str(FORMAT)))
            elif row != str(FORMAT):
                raise StoreError(
                    "another version of Headstart wrote this store",
                    where=self.place,
                    got=f"format {row}, this one knows {FORMAT}",
                    fix="use the version that wrote it, or a new folder and hand the data in again",
                )

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view."""
        with self._errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning."""
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(headstart_write=True)
            with connection.begin():
                if not self.sqlite:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(4815162342)"))
                yield connection

    def damage(self) -> list[str]:
        """What the database finds wrong with its own pages, tables and indexes; [] when sound."""
        if not self.sqlite:
            return []  # PostgreSQL has no such check for a client; its own checksums raise when read
        with self.read() as connection:
            lines = connection.exec_driver_sql("PRAGMA integrity_check(5)").scalars().all()
        return [str(line) for line in lines if line != "ok"]

    def close(self) -> None:
        """Closes idle connections."""
        self.engine.dispose()

    def _engine(self) -> Engine:
        if not self.sqlite:
            return sa.create_engine(self.url, pool_pre_ping=True)
        engine = sa.create_engine(self.url, connect_args={"timeout": 60})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except HeadstartError:
            raise
        # A damaged row may hold no JSON, JSON that is nested too deep, or no text.
        except (sa.exc.SQLAlchemyError, ValueError, RecursionError) as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(
                "the store's database refused",
                where=self.place,
                got=str(cause).splitlines()[0],
                fix=_advice(str(cause)),
            ) from error


def _advice(cause: str) -> str:
    if "disk is full" in cause or "No space left" in cause:
        return "free some space and run again; nothing that was committed is lost"
    return "check that it can be reached and written; `headstart doctor` tells more"


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=60000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _contents(connection: Connection) -> tuple[set[str], set[str]]:
    """Names of a file's tables, and of its views and triggers: code, of which a store has none."""
    rows = connection.exec_driver_sql("SELECT type, name FROM sqlite_master WHERE type != 'index'").all()
    tables = {row.name for row in rows if row.type == "table" and not row.name.startswith("sqlite_")}
    return tables, {f"{row.type} {row.name}" for row in rows if row.type != "table"}


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("headstart_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _refuse_network(path: Path) -> None:
    """SQLite's locks do not hold on network file systems."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.is_file():
        return
    place, best, kind = path.absolute(), "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        point, system = left.split()[4], right.split()[0]
        if place.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, system
    if kind.startswith(("nfs", "cifs", "smb", "9p", "afs", "ceph", "fuse.sshfs")):
        raise InputError(
            "SQLite is not safe on a network file system",
            where=str(path),
            got=f"{best} is {kind}",
            fix="put the store on a local disk, or give a PostgreSQL URL for its database",
        )
