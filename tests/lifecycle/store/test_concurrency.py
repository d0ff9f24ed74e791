"""Several processes write to one store at the same time: nothing lost, nothing locked, one order."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from headstart.lifecycle.database import Database
from headstart.lifecycle.lineage import replay
from headstart.lifecycle.store import Store

PROCESSES, COMMITS = 4, 25

# One interpreter pays for importing torch; its children are forked before it opens anything.
SCRIPT = """
import os, sys, traceback
import torch
torch.set_num_threads(1)
os.fsync = lambda descriptor: None  # of files; the database still flushes
from headstart.errors import StoreError
from headstart.lifecycle.store import Store
from tests.lifecycle.store.store_drafts import arrival, commit, table

location, artifacts, processes, commits = sys.argv[1], sys.argv[2] or None, *map(int, sys.argv[3:])

def work(worker):
    store = Store(location, artifacts=artifacts)  # the first openings race, too
    for number in range(commits):
        version = commit(store, float(worker * commits + number))
        while True:
            try:
                store.promote(version.id, expected=store.champion_id(), reason=f"{worker}/{number}")
                break
            except StoreError as error:
                if "another one by now" not in error.what:
                    raise
    for number in range(3):  # the same rows from all
        store.add_arrival(arrival(table(4, seed=number)))
        store.record("seen", str(number), {"rows": 4})

children = []
for worker in range(processes):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(worker)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    children.append(pid)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


def check(location: str, artifacts: str | None = None) -> None:
    arguments = [location, artifacts or "", str(PROCESSES), str(COMMITS)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    store = Store(location, artifacts=artifacts)
    total = PROCESSES * COMMITS
    assert len(set(store.version_ids())) == len(store.version_ids()) == total
    log = store.log()
    # Linearizable: each promotion saw the champion that the one before it had made.
    assert [e.previous for e in log] == [None, *(e.version for e in log[:-1])]
    assert {e.version for e in log} == set(store.version_ids()) and len(log) == total
    for worker in range(PROCESSES):
        own = [e.reason for e in log if e.reason.startswith(f"{worker}/")]
        assert own == [f"{worker}/{number}" for number in range(COMMITS)]
    assert replay(store) == store.champion_id() == log[-1].version
    assert len(store.arrivals()) == 3 == len(store.records("seen"))
    assert store.verify() == []
    store.close()


def test_many_writers_on_sqlite(tmp_path: Path) -> None:
    check(str(tmp_path / "s"))


@pytest.mark.skipif(
    "HEADSTART_TEST_POSTGRES" not in os.environ, reason="HEADSTART_TEST_POSTGRES gives no database URL"
)
def test_many_writers_on_postgresql(tmp_path: Path) -> None:
    admin = Database(os.environ["HEADSTART_TEST_POSTGRES"])
    name = f"headstart_{uuid.uuid4().hex[:12]}"
    autocommit = admin.engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        url = admin.url.set(database=name).render_as_string(hide_password=False)
        check(url, str(tmp_path / "files"))
    finally:
        with autocommit.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.close()
