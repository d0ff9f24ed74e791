"""The store: where versions, lineage and evidence live.

Files are committed first (see :mod:`headstart.lifecycle.artifact`), then one database row makes them
known; the row is the commit point. A promotion is one compare-and-set with its event in the same
transaction, so there is at most one champion and the log replays to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch

from headstart.errors import InputError, StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import Opened, Writer, canonical, commit_directory, open_directory
from headstart.lifecycle.data.rows import save_rows
from headstart.lifecycle.data.split import DEV, GATE, TRAIN
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.places import Places
from headstart.lifecycle.tensors import save_tensors
from headstart.lifecycle.version import Arrival, ArrivalDraft, Event, Version, VersionDraft

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

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def champion(self) -> Version | None:
        """The version in service, or None."""
        id = self.champion_id()
        return self._version(id) if id else None

    def champion_id(self) -> str | None:
        """Id of the version in service; read without touching its files."""
        with self._db.read() as connection:
            query = sa.select(db.aliases.c.version).where(db.aliases.c.name == "champion")
            id: str | None = connection.execute(query).scalar()
        return id

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        with self._db.read() as connection:
            rows = (
                connection.execute(sa.select(db.versions.c.id).order_by(db.versions.c.number)).scalars().all()
            )
        return [self._version(id) for id in rows]

    def version(self, id_or_prefix: str) -> Version:
        """The version with this id, or with the only id that begins like this.

        Raises:
            InputError: none or several.
        """
        with self._db.read() as connection:
            ids = connection.execute(sa.select(db.versions.c.id)).scalars().all()
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
        return self._version(found[0])

    def log(self) -> list[Event]:
        """Every decision, oldest first."""
        with self._db.read() as connection:
            rows = connection.execute(sa.select(db.events).order_by(db.events.c.number)).all()
        return [Event(**row._mapping) for row in rows]

    def commit_version(self, draft: VersionDraft) -> Version:
        """Commits a version; the same content again gives the version that is there.

        Raises:
            InputError: a parent is unknown, or a document is not JSON.
            StoreError: the file system or the database refused.
        """
        for parent in draft.parents:
            self.version(parent)
        parts = {"model": draft.weights, **draft.extra_weights}
        files: dict[str, Writer] = {f"{k}.json": canonical(v, k) for k, v in draft.documents.items()}
        for name, weights in parts.items():
            files[f"{name}.safetensors"] = _tensor_writer(weights)
        opened = commit_directory(
            self.places.versions, None, files, {"kind": "version", "parents": list(draft.parents)}
        )
        self.places.upload(opened.path)
        id = opened.path.name
        with self._db.write() as connection:
            known = connection.execute(sa.select(db.versions.c.id).where(db.versions.c.id == id)).scalar()
            if known is None:
                failpoint("before-row")
                row = {"id": id, "parents": list(draft.parents), "created": time.time()}
                connection.execute(db.versions.insert().values(**row))
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
            StoreError: the champion is not the expected one; nothing changed.
        """
        version = self.version(version_id)
        return self._move("promote", version.id, expected, reason, {"verdict": verdict} if verdict else {})

    def rollback(self, to: str | None = None, *, reason: str = "") -> Version:
        """Puts an earlier version back in service: the champion before this one, or the named one.

        Raises:
            InputError: there is nothing to go back to.
            CorruptionError: the version to go back to is damaged.
        """
        champion = self.champion_id()
        before = self._champion_before(champion)
        target = to if to is not None else before
        if champion is None or target is None:
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
        for name in version.manifest["files"]:
            Opened(version.path, version.manifest).file(name)
        self._move("rollback", version.id, champion, reason or "by hand", {})
        return version

    def note(
        self, kind: str, version_id: str, *, reason: str, payload: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a decision that changes no champion (hold, reject) into the log."""
        with self._db.write() as connection:
            connection.execute(
                db.events.insert().values(**_event(kind, version_id, None, reason, payload or {}))
            )

    def add_arrival(self, draft: ArrivalDraft) -> Arrival:
        """Stores an arrival; the same rows again give the arrival that is there."""
        names = {"train": TRAIN, "dev": DEV, "gate": GATE}
        counts = {name: int(np.sum(draft.sides == side)) for name, side in names.items()}
        sides = torch.from_numpy(np.ascontiguousarray(draft.sides))
        files: dict[str, Writer] = {"sides.safetensors": lambda path: save_tensors({"sides": sides}, path)}
        if draft.rows is not None:
            kept = draft.rows
            files["rows.safetensors"] = lambda path: save_rows(kept, path)
        known = next((a for a in self.arrivals() if a.digest == draft.digest), None)
        if known is not None and known.kept:
            return known
        head = {
            "kind": "arrival",
            "digest": draft.digest,
            "count": len(draft.sides),
            "counts": counts,
            "reference": draft.reference,
            "note": dict(draft.note),
        }
        opened = commit_directory(self.places.arrivals, None, files, head)
        self.places.upload(opened.path)
        with self._db.write() as connection:
            failpoint("before-row")
            row = {"folder": opened.path.name, "kept": True, "created": time.time()}
            if known is None:
                connection.execute(db.arrivals.insert().values(digest=draft.digest, **row))
            else:
                connection.execute(
                    db.arrivals.update().where(db.arrivals.c.digest == draft.digest).values(**row)
                )
        failpoint("after-row")
        return next(a for a in self.arrivals() if a.digest == draft.digest)

    def arrivals(self) -> list[Arrival]:
        """All arrivals, in order of time."""
        with self._db.read() as connection:
            rows = connection.execute(sa.select(db.arrivals).order_by(db.arrivals.c.number)).all()
        return [self._arrival(index, row) for index, row in enumerate(rows, start=1)]

    def forget(self, index: int) -> None:
        """Removes the copy of an arrival's rows; its row and digest stay."""
        arrival = self.arrivals()[index - 1]
        with self._db.write() as connection:
            connection.execute(
                db.arrivals.update().where(db.arrivals.c.digest == arrival.digest).values(kept=False)
            )
        self.places.remove(arrival.path)

    def record(self, kind: str, key: str, payload: Mapping[str, Any]) -> None:
        """Writes a piece of evidence, once.

        Raises:
            StoreError: another payload stands under this kind and key.
        """
        value = json.loads(canonical(payload, f"record {kind}"))
        failpoint("before-record")
        with self._db.write() as connection:
            where = (db.records.c.kind == kind) & (db.records.c.key == key)
            known = connection.execute(sa.select(db.records.c.payload).where(where)).scalar()
            if known is None:
                row = {"kind": kind, "key": key, "payload": value, "created": time.time()}
                connection.execute(db.records.insert().values(**row))
            elif known != value:
                raise StoreError(
                    "other evidence stands under this name",
                    where=f"record {kind}/{key}",
                    got="a different payload",
                    fix="evidence is never changed; use another key",
                )

    def records(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """All evidence of a kind: (key, payload), oldest first."""
        with self._db.read() as connection:
            query = sa.select(db.records.c.key, db.records.c.payload).where(db.records.c.kind == kind)
            rows = connection.execute(query.order_by(db.records.c.number)).all()
        return [(row.key, row.payload) for row in rows]

    def run_folder(self, run_id: str) -> Path:
        """Folder of an unfinished run's notes and checkpoints."""
        folder = self.root / "runs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def verify(self) -> list[Any]:
        """Reads everything and lists what is not as it was committed; [] when sound."""
        from headstart.lifecycle.verify import verify

        return verify(self)

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def _version(self, id: str) -> Version:
        path = self.places.fetch(self.places.versions / id)
        opened = open_directory(path)
        return Version(id, opened.manifest, tuple(opened.manifest.get("parents", ())), path, self._last_good)

    def _last_good(self) -> str | None:
        from headstart.lifecycle.verify import last_good

        return last_good(self)

    def _arrival(self, index: int, row: Any) -> Arrival:
        path = self.places.arrivals / row.folder
        if not row.kept:
            return Arrival(index, row.digest, 0, {}, False, {}, path)
        opened = open_directory(self.places.fetch(path))
        head = opened.manifest
        return Arrival(index, row.digest, head["count"], head["counts"], True, head["note"], path, opened)

    def _champion_before(self, champion: str | None) -> str | None:
        previous: str | None = None
        stack: list[str] = []
        for event in self.log():
            if event.kind == "promote":
                stack.append(event.version)
            elif event.kind == "rollback":
                stack = stack[: stack.index(event.version) + 1] if event.version in stack else [event.version]
        if len(stack) > 1 and stack[-1] == champion:
            previous = stack[-2]
        return previous

    def _move(
        self, kind: str, version: str, expected: str | None, reason: str, payload: Mapping[str, Any]
    ) -> Event:
        with self._db.write() as connection:
            where = db.aliases.c.name == "champion"
            present = connection.execute(sa.select(db.aliases.c.version).where(where)).scalar()
            if present != expected:
                raise StoreError(
                    "the champion is another one by now",
                    where=f"store {self.root}",
                    got=f"expected {expected or 'none'}, found {present or 'none'}",
                    fix="look at `headstart log` and decide again",
                )
            if present is None:
                connection.execute(db.aliases.insert().values(name="champion", version=version))
            else:
                connection.execute(db.aliases.update().where(where).values(version=version))
            failpoint("before-promotion")
            row = _event(kind, version, expected, reason, payload)
            number = connection.execute(db.events.insert().values(**row)).inserted_primary_key
        failpoint("after-promotion")
        return Event(number=number[0] if number else 0, **row)


def _event(
    kind: str, version: str, previous: str | None, reason: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "kind": kind,
        "version": version,
        "previous": previous,
        "reason": reason,
        "payload": dict(payload),
        "created": time.time(),
    }


def _tensor_writer(weights: Mapping[str, torch.Tensor]) -> Writer:
    return lambda path: save_tensors(weights, path)
