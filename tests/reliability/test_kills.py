"""A process killed (SIGKILL) at every named point of the store, looked at, and run again.

After each kill the store is sound, every committed version loads and there is at most one champion; the
same work run again ends exactly where work that was never killed ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headstart.lifecycle.failpoints import POINTS

# One interpreter imports torch, then forks children for each point; it opens nothing itself. Flushing is off:
# it matters to a power cut (see the test of the order of the steps), not to a killed process.
SCRIPT = """
import json, os, sys, traceback
from pathlib import Path
import torch
torch.set_num_threads(1)
os.fsync = lambda descriptor: None
from headstart.errors import StoreError
from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle import verify  # here, so that no child imports it
from headstart.lifecycle.store import Store
from tests.lifecycle.store.store_drafts import arrival, commit, table


def work(folder):
    store = Store(folder)
    kept, dropped = store.add_arrival(arrival(table())), store.add_arrival(arrival(table(4, seed=1)))
    first = commit(store, 1.0)
    if store.champion_id() is None:
        store.promote(first.id, expected=None, reason="first")
    run = store.run_folder("r")
    found = read_checkpoint(run)
    for step in range(found[1]["step"] + 1 if found else 0, 3):
        write_checkpoint(run, {"w": torch.full((4,), float(step))}, {"step": step})
    second = commit(store, 2.0, first.id)
    if store.champion_id() == first.id:
        store.promote(second.id, expected=first.id, reason="second", verdict={"p": 0.01})
    store.record("done", "run", {"version": second.id, "state": read_checkpoint(run)[1]})
    store.forget(dropped.index)


def look(folder):
    store = Store(folder)
    versions = store.versions()
    found = read_checkpoint(store.run_folder("r"))
    champion = store.champion()
    return {
        "problems": [p.to_dict() for p in store.verify()],
        "versions": [(v.id, v.parents, {k: t.tolist() for k, t in v.weights().items()}, v.document("plan"))
                     for v in versions],
        "log": [(e.kind, e.version, e.previous, e.payload) for e in store.log()],
        "champion": champion and champion.id,
        "arrivals": [(a.digest, a.count, a.kept, a.kept and a.rows().digest()) for a in store.arrivals()],
        "checkpoint": found and (found[0]["w"].tolist(), found[1]),
        "records": store.records("done"),
        "files": sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*")
                        if not p.name.startswith("store.db")),
    }


def child(do):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(writer, json.dumps(do()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), json.loads(text or b"null")


root, results = Path(sys.argv[1]), {}
for point in ["never", *sys.argv[2:]]:
    folder = str(root / point.replace(":", "-"))
    if point != "never":
        os.environ["HEADSTART_FAILPOINT"] = point
    killed, _ = child(lambda: work(folder))
    os.environ.pop("HEADSTART_FAILPOINT", None)
    first = child(lambda: look(folder))
    again, _ = child(lambda: work(folder))
    results[point] = {"killed": killed, "looked": first, "again": again, "final": child(lambda: look(folder))}
print(json.dumps(results))
"""

# Which passes of each point to kill at. The work makes two arrivals, two versions, a promotion of each
# (between them three checkpoints), one record, and forgets an arrival.
PASSES = {
    "files-written": (7,),
    "before-rename": (5,),
    "after-rename": (2, 7),
    "before-row": (3,),
    "after-row": (3,),
    "before-promotion": (2,),
    "after-promotion": (2,),
    "before-record": (1,),
    "after-record": (1,),
    "before-removal": (1,),
    "checkpoint-written": (2,),
    "checkpoint-done": (3,),
}
KILLS = [f"{point}:{count}" for point, counts in PASSES.items() for count in counts]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("kills")), *KILLS],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_point_of_the_store_is_killed_at() -> None:
    assert set(PASSES) == {name for name, words in POINTS.items() if not words.startswith("update: ")}


def test_the_work_without_a_kill_is_what_the_others_are_compared_with(results: dict[str, Any]) -> None:
    never = results["never"]
    assert never["killed"] == never["again"] == 0 and never["looked"] == never["final"]
    code, state = never["final"]
    assert code == 0 and state["problems"] == []
    assert [e[0] for e in state["log"]] == ["promote", "promote"]
    assert [a[2] for a in state["arrivals"]] == [True, False]
    assert state["checkpoint"] == [[2.0] * 4, {"step": 2}] and len(state["records"]) == 1


@pytest.mark.parametrize("kill", KILLS)
def test_a_kill_loses_nothing_and_the_work_is_completed(results: dict[str, Any], kill: str) -> None:
    found = results[kill]
    whole = results["never"]["final"][1]
    assert found["killed"] == -signal.SIGKILL
    code, state = found["looked"]
    assert code == 0 and state["problems"] == []
    # What was committed is a beginning of what would have been.
    for part in ("versions", "log", "records"):
        assert state[part] == whole[part][: len(state[part])], part
    assert [a[0] for a in state["arrivals"]] == [a[0] for a in whole["arrivals"]][: len(state["arrivals"])]
    assert state["champion"] == (state["log"][-1][1] if state["log"] else None)
    if len(state["versions"]) == 2:  # the second version comes after the last checkpoint
        assert state["checkpoint"] == whole["checkpoint"]
    assert not [name for name in state["files"] if ".tmp-" in name and not name.startswith("runs")]
    assert found["again"] == 0
    code, final = found["final"]
    assert code == 0 and {**final, "files": 0} == {**whole, "files": 0}
    assert _steady(final["files"]) == _steady(whole["files"])


def test_committing_points_leave_what_they_say(results: dict[str, Any]) -> None:
    counts = {k: len(results[k]["looked"][1]["versions"]) for k in ("before-row:3", "after-row:3")}
    assert counts == {"before-row:3": 0, "after-row:3": 1}
    logs = {k: len(results[k]["looked"][1]["log"]) for k in ("before-promotion:2", "after-promotion:2")}
    assert logs == {"before-promotion:2": 1, "after-promotion:2": 2}
    gone = results["before-removal:1"]["looked"][1]
    assert [a[2] for a in gone["arrivals"]] == [True, False]
    assert sum(name.endswith("rows.safetensors") for name in gone["files"]) == 1  # finished when opened


def _steady(files: list[str]) -> list[str]:
    """Names without the number of the last checkpoint, which a kill may raise."""
    return sorted({"/".join(p for p in name.split("/") if not p.startswith("ckpt-")) for name in files})
