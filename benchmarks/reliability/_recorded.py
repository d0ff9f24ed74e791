"""The work that is recorded for ``power``, and what a store holds of it afterwards.

``python -m benchmarks.reliability._recorded FOLDER LIBRARY RECORDING`` does the work and marks, in the
recording, each step that begins and each that has returned.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.memory import gather, remember
from headstart.lifecycle.store import ArrivalDraft, Store, VersionDraft

__all__ = ["NO_RECORDER", "STEPS", "look", "work"]

# What is done, and with which version, arrival, record or checkpoint.
STEPS = (
    ("arrival", 1), ("arrival", 2), ("commit", 1), ("promote", 1), ("checkpoint", 1), ("record", 1),
    ("commit", 2), ("checkpoint", 2), ("promote", 2), ("reopen", 0), ("arrival", 3), ("commit", 3),
    ("promote", 3), ("rollback", 2), ("checkpoint", 3), ("record", 2), ("arrival", 4), ("remember", 3),
    # From here on SQLite moves its log into the database after every few pages, not after a thousand.
    ("move-log", 4), ("commit", 4), ("promote", 4), ("record", 3), ("arrival", 5), ("forget", 5),
    ("commit", 5), ("promote", 5), ("rollback", 4), ("checkpoint", 4), ("record", 4),
)  # fmt: skip
DECISIONS = [step for step in STEPS if step[0] in ("promote", "rollback")]
NO_RECORDER = 77  # exit code
REMEMBERED = 3  # arrivals: the last of them is that of the step "remember"


def work(folder: Path, mark: Callable[[str], None] = lambda text: None) -> None:
    """All the steps; on a store where some are done, the others."""
    store = Store(folder)
    for number, step in enumerate(STEPS):
        mark(f"begins {number}")
        if step[0] == "reopen":
            store.close()
            store = Store(folder)
        else:
            _do(store, *step)
        mark(f"returned {number}")
    store.close()


def look(folder: Path) -> dict[str, Any]:
    """All that a store holds, read and checked."""
    store = Store(folder)
    try:
        arrivals = store.arrivals()
        found = read_checkpoint(store.run_folder("r"))
        return {
            "problems": [problem.to_dict() for problem in store.verify()],
            "versions": [(v.id, v.parents, _digest(v.weights()["w"])) for v in store.versions()],
            "log": [(e.kind, e.version) for e in store.log()],
            "champion": store.champion_id(),
            "arrivals": [a.digest for a in arrivals],
            "kept": {a.index: a.rows().digest() for a in arrivals if a.kept},
            "copies": len(list((folder / "arrivals").glob("[!.]*"))),
            "memory": gather(store, REMEMBERED + 1).rows.digest() if len(arrivals) > REMEMBERED else None,
            "records": store.records("seen"),
            "checkpoint": (found[1]["number"], _digest(found[0]["w"])) if found else (0, ""),
        }
    finally:
        store.close()


def _do(store: Store, kind: str, number: int) -> None:
    if kind in ("promote", "rollback"):
        _decide(store, kind, number)
    elif kind == "arrival":
        rows = _rows(number)
        sides = np.arange(len(rows), dtype=np.int8) % 3
        store.add_arrival(ArrivalDraft(rows=rows, digest=rows.digest(), sides=sides))
    elif kind == "commit":
        weights = {"w": torch.arange(1500.0) + number}  # a page and more
        parents = store.version_ids()[number - 2 : number - 1] if number > 1 else []
        plan = {"plan": {"number": number}}
        store.commit_version(VersionDraft(weights=weights, parents=tuple(parents), documents=plan))
    elif kind == "checkpoint":
        _checkpoint(store, number)
    elif kind == "record":
        store.record("seen", str(number), {"number": number, "text": "x" * 6000})
    elif kind == "forget":
        store.forget(number)
    elif kind == "remember":
        keep = SimpleNamespace(settings=SimpleNamespace(retention="replay:4"), seed=0, store=store, key="m")
        remember(keep, number)  # type: ignore[arg-type]
    elif kind == "move-log":
        with store._db.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={number}")


def _decide(store: Store, kind: str, number: int) -> None:
    if len(store.log()) != DECISIONS.index((kind, number)):
        return  # done before
    id = store.version_ids()[number - 1]
    if kind == "promote":
        store.promote(id, expected=store.champion_id(), reason="better", verdict={"p": 0.01})
    else:
        store.rollback(reason="worse")


def _checkpoint(store: Store, number: int) -> None:
    folder = store.run_folder("r")
    found = read_checkpoint(folder)
    if found is None or found[1]["number"] < number:
        write_checkpoint(folder, {"w": torch.full((1200,), float(number))}, {"number": number})


def _rows(number: int) -> Rows:
    return Rows({"x": np.random.default_rng(number).normal(size=300)}, "made")


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def main() -> None:
    """Does the work in one folder, with all that happens below it written down."""
    folder, library, recording = sys.argv[1:]
    torch.set_num_threads(1)
    recorder = ctypes.CDLL(library)
    refused = recorder.begin(folder.encode(), recording.encode())
    if refused:
        print(f"the system does not let the recorder begin: {os.strerror(refused)}", file=sys.stderr)
        sys.exit(NO_RECORDER)
    work(Path(folder) / "store", lambda text: recorder.mark(text.encode()))


if __name__ == "__main__":
    main()
