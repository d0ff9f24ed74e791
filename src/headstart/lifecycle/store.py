"""The store: where versions, lineage and evidence live.

Files are committed first (see :mod:`headstart.lifecycle.artifact`), then one database row makes them
known; the row is the commit point. A promotion is one compare-and-set with its event in the same
transaction, so there is at most one champion and the log replays to it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import headstart
from headstart.errors import CorruptionError, InputError
from headstart.lifecycle import arrivals, lineage, records
from headstart.lifecycle import database as db
from headstart.lifecycle.arrivals import Arrival, ArrivalDraft
from headstart.lifecycle.artifact import Opened, Writer, as_json, commit_directory, open_directory
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.places import Places
from headstart.lifecycle.seals import checked, insert, refuse_gaps
from headstart.lifecycle.tensors import plain_weights, save_tensors
from headstart.lifecycle.version import Event, Version, VersionDraft, naming_last_good

if TYPE_CHECKING:
    from headstart.lifecycle.verify import Problem

__all__ = ["Arrival", "ArrivalDraft", "Event", "Store", "Version", "VersionDraft"]


class Store:
    """Versions with lineage, arrivals, evidence, and the champion.

    Args:
        location: a folder, made if it is not there; or a database URL, with ``artifacts``.
        artifacts: fsspec URL where the files live (``s3://bucket/path``); a folder by default.

    Raises:
        InputError: the location is something else.
        StoreError: it cannot be used.
    """

    def __init__(self, location: str | Path, *, artifacts: str | None = None) -> None:
        self.places = Places.of(location, artifacts)
        self.root = self.places.root
        self._db = self.places.open()
        try:
            arrivals.finish_removals(self._db, self.places)
        except BaseException:
            self._db.close()
            raise

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def champion(self) -> Version | None:
        """The version in service, or None."""
        id = self.champion_id()
        return self._version(id) if id else None

    def champion_id(self) -> str | None:
        """Id of the version in service; read without touching its files.

        Raises:
            CorruptionError: the alias is not what was written.
        """
        return lineage.champion_id(self._db)

    def version_ids(self) -> list[str]:
        """Ids of all versions, oldest first; read without touching their files.

        Raises:
            CorruptionError: a row is gone, or holds no id.
        """
        rows = self._rows()
        refuse_gaps(db.versions, [row.number for row in rows])
        damaged = next((row for row in rows if not isinstance(row.id, str)), None)
        if damaged is not None:
            place = f"row {damaged.number} of the database's table versions"
            raise CorruptionError(place, expected="an id", found=repr(damaged.id))
        return [row.id for row in rows]

    def versions(self) -> list[Version]:
        """All versions, oldest first.

        Raises:
            CorruptionError: a row or the manifest of one is damaged, or a row is gone.
        """
        return [self._version(id) for id in self.version_ids()]

    def version(self, id_or_prefix: str) -> Version:
        """The version with this id, or with the only id that begins like this.

        Raises:
            InputError: none or several.
            CorruptionError: its row or its manifest is damaged.
        """
        return self._version(self._known(id_or_prefix))

    def log(self) -> list[Event]:
        """Every decision, oldest first."""
        return records.events(self._db)

    def commit_version(self, draft: VersionDraft) -> Version:
        """Commits a version; the same content again gives the version that is there.

        Raises:
            InputError: a parent is unknown, a name is not safe, or a document is not JSON.
            StoreError: the file system or the database refused.
        """
        parents = [self._known(parent) for parent in draft.parents]
        head = {"kind": "version", "parents": parents, "code": f"headstart {headstart.__version__}"}
        opened = commit_directory(self.places.versions, None, _files(draft), head)
        self.places.upload(opened.path)
        id = opened.path.name
        with self._db.write() as connection:
            known = connection.execute(sa.select(db.versions.c.id).where(db.versions.c.id == id)).scalar()
            if known is None:
                failpoint("before-row")
                insert(connection, db.versions, {"id": id, "parents": parents, "created": time.time()})
        failpoint("after-row")
        return self._version(id)

    def promote(
        self,
        version_id: str,
        *,
        expected: str | None,
        reason: str,
        verdict: Mapping[str, Any] | None = None,
    ) -> Event:
        """Puts a version in service: one compare-and-set on the champion.

        Args:
            version_id: the new champion.
            expected: the champion as the caller knows it, None for "there is none".
            reason: why, for the log.
            verdict: the gate's evidence.

        Raises:
            InputError: the version is unknown, or the verdict is not JSON.
            StoreError: the champion is not the expected one; nothing changed.
        """
        version = self.version(version_id)
        payload = {"verdict": verdict} if verdict else {}
        return lineage.move(self._db, "promote", version.id, expected, reason=reason, payload=payload)

    def rollback(self, to: str | None = None, *, reason: str = "") -> Version:
        """Puts an earlier version back in service: the champion before this one, or the named one.

        Raises:
            InputError: there is nothing to go back to.
            CorruptionError: the version to go back to is damaged.
            StoreError: another process changed the champion meanwhile.
        """
        champion = lineage.alias(self._db)
        target = to if to is not None else self._before(champion)
        if target is None or (champion is None and not lineage.champions(self.log())):
            raise InputError(
                "there is no earlier champion to go back to",
                where=f"store {self.root}",
                got=f"champion {champion or 'none'}",
                fix="name a version: `headstart rollback --to ID`",
            )
        version = self.version(target)
        if version.id == champion:
            raise InputError(
                "this version is the champion already",
                where=f"store {self.root}",
                got=version.id,
                fix="name another version",
            )
        with naming_last_good(self.last_good):
            Opened(version.path, version.manifest).check()
        lineage.move(self._db, "rollback", version.id, champion, reason=reason or "by hand", payload={})
        return version

    def _before(self, champion: str | None) -> str | None:
        """The champion before the present one; where the alias is damaged, the one the log leads to."""
        line = lineage.champions(self.log())
        if line and line[-1] != champion:
            return line[-1]
        return line[-2] if len(line) > 1 else None

    def note(
        self, kind: str, version_id: str, *, reason: str, payload: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a decision that changes no champion (hold, reject) into the log.

        Raises:
            InputError: the version is unknown, or the kind is one that moves the champion.
        """
        if kind in ("promote", "rollback"):
            raise InputError(
                "a note cannot move the champion",
                where="Store.note",
                got=kind,
                fix="use promote() or rollback()",
            )
        id = self._known(version_id)
        with self._db.write() as connection:
            records.append(connection, kind, id, reason=reason, payload=payload or {})

    def add_arrival(self, draft: ArrivalDraft) -> Arrival:
        """Stores an arrival; the same rows again give the arrival that is there.

        Raises:
            InputError: the draft contradicts itself.
            StoreError: the file system or the database refused.
        """
        arrivals.add(self._db, self.places, draft)
        return next(arrival for arrival in self.arrivals() if arrival.digest == draft.digest)

    def arrivals(self) -> list[Arrival]:
        """All arrivals, in order of time."""
        return arrivals.listed(self._db, self.places, self.last_good)

    def forget(self, index: int) -> None:
        """Removes the copy of an arrival's rows for good; its row, digest and counts stay.

        Args:
            index: number of the arrival, from 1.

        Raises:
            InputError: there is no such arrival.
        """
        known = self.arrivals()
        if not 1 <= index <= len(known):
            raise InputError(
                "there is no such arrival",
                where=f"store {self.root}",
                got=index,
                fix=f"give a number from 1 to {len(known)}" if known else "the store has no arrivals yet",
            )
        arrivals.forget(self._db, self.places, known[index - 1])

    def record(self, kind: str, key: str, payload: Mapping[str, Any]) -> None:
        """Writes a piece of evidence, once.

        Raises:
            InputError: the payload is not JSON.
            StoreError: another payload stands under this kind and key.
        """
        records.record(self._db, kind, key, payload)

    def records(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """All evidence of a kind: (key, payload), oldest first."""
        return records.records(self._db, kind)

    def run_folder(self, run_id: str) -> Path:
        """Folder of an unfinished run's notes and checkpoints.

        Raises:
            InputError: the id is no plain name.
        """
        return self.places.run_folder(run_id)

    def verify(self) -> list[Problem]:
        """Reads everything and lists what is not as it was committed; [] when sound."""
        from headstart.lifecycle.verify import verify

        return verify(self)

    def last_good(self) -> str | None:
        """Id of the newest version whose every file verifies, or None."""
        from headstart.lifecycle.verify import last_good

        return last_good(self)

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def _rows(self) -> list[Any]:
        """Number and id of every version, oldest first, unchecked."""
        with self._db.read() as connection:
            query = sa.select(db.versions.c.number, db.versions.c.id).order_by(db.versions.c.number)
            return list(connection.execute(query).all())

    def _known(self, id_or_prefix: str) -> str:
        # A damaged row must not hide the sound ones.
        ids = [row.id for row in self._rows() if isinstance(row.id, str)]
        found = [id for id in ids if id == id_or_prefix] or [
            id for id in ids if id_or_prefix and id.startswith(id_or_prefix)
        ]
        if len(found) != 1:
            raise InputError(
                "no version has this id" if not found else "several versions begin like this",
                where=f"store {self.root}",
                got=id_or_prefix,
                fix="`headstart log` lists them" if not found else f"one of: {', '.join(found[:5])}",
            )
        return found[0]

    def _version(self, id: str) -> Version:
        with naming_last_good(self.last_good):
            parents = self._parents(id)
            path = self.places.fetch(self.places.version(id))
            opened = open_directory(path, id)
            if opened.manifest["parents"] != parents:
                found = f"parents {parents}"
                raise CorruptionError(
                    f"row of version {id}", expected=f"parents {opened.manifest['parents']}", found=found
                )
        return Version(id, opened.manifest, tuple(parents), path, self.last_good)

    def _parents(self, id: str) -> list[str]:
        """The parents that the database knows of a version."""
        with self._db.read() as connection:
            row = connection.execute(sa.select(db.versions).where(db.versions.c.id == id)).first()
        if row is None:
            raise CorruptionError(f"row of version {id}", expected="a row", found="none")
        return list(checked(row, db.versions).parents)


def _files(draft: VersionDraft) -> dict[str, Writer]:
    if "model" in draft.extra_weights:
        raise InputError(
            "the weights called 'model' are given twice",
            where="VersionDraft.extra_weights",
            got="model",
            fix="give the shipped model as weights=, and other parts under other names",
        )
    files: dict[str, Writer] = {f"{k}.json": as_json(v, k) for k, v in draft.documents.items()}
    for name, weights in {"model": draft.weights, **draft.extra_weights}.items():
        files[f"{name}.safetensors"] = functools.partial(save_tensors, plain_weights(weights))
    return files
