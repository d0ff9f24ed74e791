"""Stores with something forged in them: folder, manifest, identity and the database's row all agree."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch

from benchmarks.reliability._hostile.files import Content
from headstart.errors import StoreError
from headstart.lifecycle import database as db
from headstart.lifecycle.artifact import MANIFEST, identity, manifest_for, read_checkpoint
from headstart.lifecycle.data.rows import Rows, save_rows
from headstart.lifecycle.seals import insert
from headstart.lifecycle.store import Store, VersionDraft
from headstart.lifecycle.tensors import save_tensors

SECRET = "a secret of somebody else\n"
WEIGHTS = {"w": torch.arange(4.0)}


_made: list[Path] = []


def sound(folder: Path) -> Store:
    """A store with a champion, and a secret beside it; made once in a process and its children."""
    if _made:
        shutil.copytree(_made[0], folder, dirs_exist_ok=True)
        return Store(folder / "store")
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "secret.txt").write_text(SECRET, encoding="utf-8")
    (folder / "outside" / "secret.csv").write_text("x\n1\n", encoding="utf-8")
    store = Store(folder / "store")
    version = store.commit_version(VersionDraft(weights=WEIGHTS, documents={"plan": {"lr": 0.1}}))
    store.promote(version.id, expected=None, reason="sound")
    store.close()
    _made.append(folder)
    return store


def put(path: Path, content: Content) -> None:
    """Writes a file's content."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)


def forged_folder(parent: Path, files: Mapping[str, Content], head: Mapping[str, Any]) -> Path:
    """A committed folder of any files, named by its content."""
    made = parent / "forging"
    made.mkdir(parents=True)
    for name, content in files.items():
        put(made / name, content)
    manifest = manifest_for(made, list(files), head)
    (made / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return made.rename(parent / identity(manifest))


def raw_folder(parent: Path, manifest: Any) -> Path:
    """A folder with any manifest, under the name that it would have if it were one."""
    made = parent / "forging"
    made.mkdir(parents=True)
    file = made / MANIFEST
    put(
        file, manifest if isinstance(manifest, bytes) or callable(manifest) else json.dumps(manifest).encode()
    )
    name = "0" * 16
    if file.stat().st_size < 2**20:
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            name = identity(json.loads(file.read_bytes()))
    return made.rename(parent / name)


def version_row(store: Store, id: str, parents: Any = ()) -> None:
    """Makes a folder known as a version, the newest."""
    row = {"id": id, "parents": list(parents), "created": 0.0}
    with store._db.write() as connection:
        insert(connection, db.versions, row)


def forged_version(folder: Path, files: Mapping[str, Content], **head: Any) -> Path:
    """A store whose newest version is forged."""
    store = sound(folder)
    whole = {"model.safetensors": lambda path: save_tensors(WEIGHTS, path), "plan.json": b"{}", **files}
    made = forged_folder(store.places.versions, whole, {"kind": "version", "parents": [], **head})
    version_row(store, made.name)
    return made


def forged_arrival(
    folder: Path, files: Mapping[str, Content], row: Mapping[str, Any] | None = None, **head: Any
) -> Path:
    """A store with an arrival that is forged."""
    store = sound(folder)
    rows, sides = Rows({"x": np.arange(2)}), torch.zeros(2, dtype=torch.int8)
    whole: dict[str, Content] = {"sides.safetensors": lambda path: save_tensors({"sides": sides}, path)}
    if head.get("reference") is None:
        whole["rows.safetensors"] = lambda path: save_rows(rows, path)
    summary = {"count": 2, "counts": {"train": 2, "dev": 0, "gate": 0}, "note": {}}
    facts = {"kind": "arrival", "digest": rows.digest(), "reference": None, **summary, **head}
    made = forged_folder(store.places.arrivals, {**whole, **files}, facts)
    values = {"digest": rows.digest(), "folder": made.name, "kept": True, "summary": summary, "created": 0.0}
    with store._db.write() as connection:
        insert(connection, db.arrivals, {**values, **(row or {})})
    return made


def forged_checkpoint(folder: Path, files: Mapping[str, Content]) -> Path:
    """A run whose only checkpoint is forged."""
    run = sound(folder).run_folder("r")
    whole = {"tensors.safetensors": lambda path: save_tensors(WEIGHTS, path), "state.json": b"{}", **files}
    return forged_folder(run, whole, {"kind": "checkpoint"}).rename(run / "ckpt-000001")


def away(folder: Path, made: Path) -> Path:
    """Moves a committed folder to the files' address and leaves no copy."""
    place = folder / "address" / made.parent.name / made.name
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(made, place))


def use_version(folder: Path) -> None:
    """Reads all of the newest version."""
    read_version(Store(folder / "store"))


def use_remote(folder: Path) -> None:
    """The same, from the files' address."""
    read_version(Store(folder / "store", artifacts=f"file://{folder}/address"))


def read_version(store: Store) -> None:
    """Reads every part and document of a store's newest version."""
    version = store.version(store.version_ids()[-1])
    for name in version.manifest["files"]:
        stem, _, kind = name.rpartition(".")
        version.document(stem) if kind == "json" else version.weights(stem)


def use_arrival(folder: Path) -> None:
    """Reads the newest arrival."""
    arrival = Store(folder / "store").arrivals()[-1]
    arrival.sides()
    arrival.rows()


def use_checkpoint(folder: Path) -> None:
    """Asks for the run's checkpoint; one that is refused is passed over."""
    if read_checkpoint(folder / "store" / "runs" / "r") is None:
        raise StoreError(
            "no checkpoint verifies", where="runs", got="a forged one", fix="the run begins again"
        )


def execute(store: Store, *statements: Any) -> None:
    """Changes the database by hand."""
    with store._db.engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement) if isinstance(statement, str) else statement)
        connection.commit()
