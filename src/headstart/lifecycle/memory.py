"""What the store remembers of past arrivals, gathered into one pool of rows with sides.

With retention ``all`` that is every arrival. With ``replay:N`` or ``none`` the held-out rows of the
past are kept (they are evidence), its training rows are thinned to N or none, and the arrivals
themselves are forgotten; their digests stay in lineage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import StoreError
from headstart.lifecycle.artifact import Writer, commit_directory, open_directory
from headstart.lifecycle.context import Context
from headstart.lifecycle.data.rows import Rows, concat, load_rows, save_rows
from headstart.lifecycle.data.split import TRAIN
from headstart.lifecycle.durable import file_errors, make_folder
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.store import Store
from headstart.lifecycle.version import naming_last_good
from headstart.nn.streams import seed_for

__all__ = ["Pool", "gather", "join", "remember"]

_SIDE, _ARRIVAL = "headstart.side", "headstart.arrival"
_KIND = "memory"


@dataclass(frozen=True)
class Pool:
    """Rows of several arrivals.

    Attributes:
        rows: the rows, n of them.
        sides: (n,) int8, train, dev or gate.
        arrivals: (n,) int64, the arrival each row came with.
    """

    rows: Rows
    sides: np.ndarray[Any, Any]
    arrivals: np.ndarray[Any, Any]

    def where(self, side: int, arrival: int | None = None) -> np.ndarray[Any, Any]:
        """Numbers of the rows of a side (and of one arrival)."""
        mask = self.sides == side
        if arrival is not None:
            mask &= self.arrivals == arrival
        return np.flatnonzero(mask)

    def take(self, indices: np.ndarray[Any, Any]) -> Pool:
        """Some of the rows."""
        return Pool(self.rows.take(indices), self.sides[indices], self.arrivals[indices])


def gather(store: Store, upto: int) -> Pool:
    """All that is remembered of arrivals 1 to ``upto``.

    Raises:
        StoreError: an arrival was forgotten and nothing was kept of it.
    """
    parts: list[Pool] = []
    covered = 0
    for _, note in store.records(_KIND):
        if covered < note["upto"] < upto:
            covered, folder = note["upto"], note["folder"]
            parts = [_load(store, folder)]
    for arrival in store.arrivals():
        if not covered < arrival.index <= upto:
            continue
        if not arrival.kept:
            raise StoreError(
                "an arrival was forgotten that this run needs",
                where=f"arrival {arrival.index}",
                got=f"digest {arrival.digest[:16]}",
                fix="hand its data in again, or run with a store that keeps all arrivals",
            )
        rows = arrival.rows()
        parts.append(Pool(rows, arrival.sides(), np.full(len(rows), arrival.index)))
    return join(parts)


def join(parts: list[Pool]) -> Pool:
    """Several pools as one."""
    return Pool(
        concat([part.rows for part in parts]),
        np.concatenate([part.sides for part in parts]),
        np.concatenate([part.arrivals for part in parts]),
    )


def remember(context: Context, upto: int) -> None:
    """Applies the retention: keeps what it says of the past, then forgets the arrivals.

    Done again after a kill, it finishes what was left.
    """
    retention = context.settings.retention
    if retention == "all":
        return
    if context.key not in dict(context.store.records(_KIND)):
        _keep(context, upto, 0 if retention == "none" else int(retention.partition(":")[2]))
    failpoint("memory-recorded")
    for arrival in context.store.arrivals():
        if arrival.index <= upto and arrival.kept:
            context.store.forget(arrival.index)


def _keep(context: Context, upto: int, limit: int) -> None:
    pool = gather(context.store, upto)
    kept = pool.take(_kept(pool, limit, context.seed))
    rows = Rows(
        {
            **kept.rows.columns,
            _SIDE: kept.sides.astype(np.int64),
            _ARRIVAL: kept.arrivals.astype(np.int64),
        },
        "memory",
    )
    parent = context.store.root / _KIND
    with file_errors(parent):
        make_folder(parent)
    files: dict[str, Writer] = {"rows.safetensors": lambda path: save_rows(rows, path)}
    folder = commit_directory(parent, None, files, {"kind": _KIND}).path.name
    context.store.record(_KIND, context.key, {"upto": upto, "folder": folder, "rows": len(rows)})


def _load(store: Store, folder: str) -> Pool:
    with naming_last_good(store.last_good):
        opened = open_directory(store.places.memory(folder), folder)
        rows = load_rows(opened.file("rows.safetensors"))
    sides = rows.column(_SIDE).astype(np.int8)
    return Pool(rows.drop(_SIDE, _ARRIVAL), sides, rows.column(_ARRIVAL))


def _kept(pool: Pool, limit: int, seed: int) -> np.ndarray[Any, Any]:
    # A bottom-k sample by seeded hash: a uniform reservoir that does not depend on the order of arrivals.
    train = pool.where(TRAIN)
    digests = pool.take(train).rows.row_digests()
    ranks = sorted(range(len(train)), key=lambda i: (seed_for(seed, "reservoir", digests[i]), i))
    chosen = train[np.array(ranks[:limit], dtype=np.int64)]
    return np.sort(np.concatenate([np.flatnonzero(pool.sides != TRAIN), chosen]))
