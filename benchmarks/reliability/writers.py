"""R5: many processes write to one store at once; nothing is lost or locked, promotions have one order.

Each writer commits versions and promotes each of them by compare-and-set; all hand in the same rows and
the same evidence. Then the same with writers that are killed (SIGKILL) at random and started again: what
a writer was told is committed, it noted in a file, and the store is held to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
import torch

from benchmarks.reliability._campaign import Outcome, Setting, Tally
from headstart.errors import StoreError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.database import Database
from headstart.lifecycle.lineage import replay
from headstart.lifecycle.store import ArrivalDraft, Event, Store, VersionDraft

FIGURES = ("R5",)
POSTGRES = "HEADSTART_TEST_POSTGRES"
SHARED = 3  # arrivals and records that every writer hands in
_NOTE = len("c 0123456789abcdef\n")


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """A round: who writes how much to which store.

    Attributes:
        location, artifacts: of the store.
        notes: folder of what each writer was told is committed.
        processes, commits: how many writers, and versions of each.
        kills: how often each writer is killed.
        flush: whether files are flushed; it matters to a power cut, not to a killed process.
        seed: of the moments of the kills.
    """

    location: str
    artifacts: str | None
    notes: str
    processes: int
    commits: int
    kills: int
    flush: bool
    seed: int


def run(setting: Setting) -> list[Outcome]:
    """Both rounds on SQLite, and on PostgreSQL where an address is given."""
    tally, counts, notes = Tally(), {"kills": 0, "database is locked": 0}, []
    for kind in DATABASES:
        if kind == "PostgreSQL" and POSTGRES not in os.environ:
            notes.append(f"PostgreSQL was left out: {POSTGRES} gives no address")
            continue
        for name, value in rounds(kind, setting, tally).items():
            counts[name] += value
    processes, commits = _size(setting)
    return [
        Outcome(
            figure="R5",
            promise="writers of one store lose nothing, are never locked out, and promote in one order",
            cases=tally.total,
            violations=len(tally.broken),
            bar=f"{processes} processes x {commits} commits on each database: 0 lost, 0 locked, one order",
            met=not tally.broken and not counts["database is locked"],
            counts={**counts, "processes": processes, "commits each": commits, **tally.cases},
            notes=tuple(notes),
            examples=tuple(tally.broken),
        )
    ]


def rounds(kind: str, setting: Setting, tally: Tally) -> dict[str, int]:
    """A round whose writers all live and one whose writers are killed, on one database; what was counted."""
    processes, commits = _size(setting)
    with contextlib.ExitStack() as stack:
        crowds = {}
        for name, kills in (("live", 0), ("killed", setting.size(3, 1))):
            folder = setting.folder / kind / name
            (folder / "notes").mkdir(parents=True)
            location, artifacts = stack.enter_context(DATABASES[kind](folder))
            crowds[f"{kind}, {name}"] = Crowd(
                location=location,
                artifacts=artifacts,
                notes=str(folder / "notes"),
                processes=processes,
                commits=commits,
                kills=kills,
                flush=setting.full,
                seed=setting.seed,
            )
        setting.say(f"{kind}: {processes} writers with {commits} commits each, twice")
        kills = sum(_start(list(crowds.values())))
        errors = ""
        for name, crowd in crowds.items():
            errors += _check(crowd, name, tally)
    return {"kills": kills, "database is locked": errors.count("database is locked")}


def _size(setting: Setting) -> tuple[int, int]:
    return setting.size(16, 4), setting.size(200, 15)


@contextlib.contextmanager
def _sqlite(folder: Path) -> Iterator[tuple[str, str | None]]:
    yield str(folder / "store"), None


@contextlib.contextmanager
def _postgresql(folder: Path) -> Iterator[tuple[str, str | None]]:
    """A database of its own on the server of the address."""
    admin = Database(os.environ[POSTGRES])
    name = f"headstart_{uuid.uuid4().hex[:12]}"
    autocommit = admin.engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        url = admin.url.set(database=name).render_as_string(hide_password=False)
        yield url, str(folder / "store")
    finally:
        with autocommit.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.close()


DATABASES = {"SQLite": _sqlite, "PostgreSQL": _postgresql}


def _start(crowds: list[Crowd]) -> list[int]:
    """One interpreter pays for importing torch; its children are forked before it opens anything."""
    code = "from benchmarks.reliability.writers import _main; _main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([asdict(crowd) for crowd in crowds]),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    kills: list[int] = json.loads(done.stdout)
    return kills


def _main() -> None:
    torch.set_num_threads(1)
    print(json.dumps([_write_all(Crowd(**values)) for values in json.load(sys.stdin)]))


def _write_all(crowd: Crowd) -> int:
    """Forks the writers, kills those whose time has come, starts them again, and waits; counts the kills."""
    if not crowd.flush:
        os.fsync = lambda fd: None  # the database still flushes
    chance = random.Random(crowd.seed)
    notes = range(1, crowd.commits + crowd.commits // 2)  # of two for each commit: it still works then
    moments = {w: sorted(chance.sample(notes, crowd.kills)) for w in range(crowd.processes)}
    living = {_fork(crowd, worker): worker for worker in range(crowd.processes)}
    kills = 0
    while living:
        for pid, worker in list(living.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del living[pid]
            elif moments[worker] and _noted(crowd, worker) >= moments[worker][0]:
                moments[worker].pop(0)
                time.sleep(chance.random() * 0.01)  # anywhere in what it does next
                os.kill(pid, signal.SIGKILL)
                kills += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
                del living[pid]
                living[_fork(crowd, worker)] = worker
        time.sleep(0.002)
    return kills


def _fork(crowd: Crowd, worker: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _write(crowd, worker)
        except BaseException:
            Path(crowd.notes, f"{worker}.error").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            os._exit(0)
    return pid


def _write(crowd: Crowd, worker: int) -> None:
    """One writer. It goes on where its notes end; what it did besides is found in the store."""
    told = os.open(_notes(crowd, worker), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    store = Store(crowd.location, artifacts=crowd.artifacts)  # the first openings race, too
    promoted = {event.version for event in store.log()}
    for number in range(len(_told(crowd, worker, "p")), crowd.commits):
        value = float(worker * crowd.commits + number)
        draft = VersionDraft(weights={"w": torch.full((4,), value)}, documents={"plan": {"lr": value}})
        id = store.commit_version(draft).id
        os.write(told, f"c {id}\n".encode())
        if id not in promoted:
            _promote(store, id, f"{worker}/{number}")
        os.write(told, f"p {id}\n".encode())
    for number in range(SHARED):
        rows = Rows({"x": np.arange(4.0) + number})
        sides = np.array([0, 1, 2, 0], dtype=np.int8)
        store.add_arrival(ArrivalDraft(rows=rows, digest=rows.digest(), sides=sides))
        store.record("seen", str(number), {"rows": 4})


def _promote(store: Store, id: str, reason: str) -> None:
    while True:
        try:
            store.promote(id, expected=store.champion_id(), reason=reason)
            return
        except StoreError as error:
            if "another one by now" not in error.what:
                raise


def _notes(crowd: Crowd, worker: int) -> Path:
    return Path(crowd.notes, str(worker))


def _noted(crowd: Crowd, worker: int) -> int:
    path = _notes(crowd, worker)
    return path.stat().st_size // _NOTE if path.exists() else 0


def _told(crowd: Crowd, worker: int, kind: str) -> list[str]:
    """Ids of what a writer was told is committed (c) or promoted (p), in order."""
    lines = _notes(crowd, worker).read_text(encoding="ascii").split("\n")
    return [line[2:] for line in lines if line.startswith(kind)]


def _check(crowd: Crowd, name: str, tally: Tally) -> str:
    """Holds the store to what its writers were told; gives the errors they met."""
    errors = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(crowd.notes).glob("*.error")))
    tally.case(f"{name}: writers end well", errors[-1500:] or None)
    store = Store(crowd.location, artifacts=crowd.artifacts)
    ids, log = store.version_ids(), store.log()
    known, logged = set(ids), {event.version for event in log}
    for worker in range(crowd.processes):
        for id in _told(crowd, worker, "c"):
            tally.case(f"{name}: commits", None if id in known else f"{id} is lost")
        for id in _told(crowd, worker, "p"):
            tally.case(f"{name}: promotions", None if id in logged else f"{id} is lost")
        wanted = [f"{worker}/{number}" for number in range(crowd.commits)]
        own = [event.reason for event in log if event.reason.startswith(f"{worker}/")]
        tally.case(f"{name}: orders", None if own == wanted else f"writer {worker}: {own}")
    total = crowd.processes * crowd.commits
    sums = [len(ids), len(known), len(log), len(logged), len(store.arrivals()), len(store.records("seen"))]
    tally.case(f"{name}: sums", None if sums == [total] * 4 + [SHARED] * 2 else f"{sums}, not {total} each")
    tally.case(f"{name}: one order", _disorder(log, store.champion_id(), replay(store)))
    problems = [problem.to_dict() for problem in store.verify()]
    tally.case(f"{name}: verify", str(problems[:3]) if problems else None)
    store.close()
    return errors


def _disorder(log: list[Event], champion: str | None, replayed: str | None) -> str | None:
    """Linearizable: each promotion saw the champion that the one before it had made."""
    seen = None
    for event in log:
        if event.previous != seen:
            return f"event {event.number} saw {event.previous}, the champion was {seen}"
        seen = event.version
    return (
        None if champion == replayed == seen else f"champion {champion}, replayed {replayed}, logged {seen}"
    )
