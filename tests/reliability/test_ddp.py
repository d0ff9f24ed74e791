"""Two processes under torchrun train what one process trains, and update one store once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import torch

from headstart.lifecycle.store import Store
from tests.lifecycle.stream import arrivals, task, update

# The script leaves through os._exit: threads of the process group may abort a process that winds down.
SCRIPT = textwrap.dedent(
    """
    import os, sys
    import torch
    torch.set_num_threads(1)
    from tests.lifecycle.stream import arrivals, update
    code = 1
    try:
        for data in arrivals(2):
            update(sys.argv[1], data)
        code = 0
    finally:
        if code:
            import traceback
            traceback.print_exc()
        sys.stdout.flush(); sys.stderr.flush()
        torch.distributed.barrier()
        os._exit(code)
    """
)


def launch(folder):
    """Runs the script on two processes. torchrun's own meeting of the processes may fail on a busy
    machine; then it is tried again. A failure of our code never is."""
    (folder / "script.py").write_text(SCRIPT)
    for attempt in range(3):
        store = folder / f"two-{attempt}"
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
             str(folder / "script.py"), str(store)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        ours = "headstart.errors" in done.stderr or "AssertionError" in done.stderr
        if done.returncode == 0 or ours:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    return store


def test_two_processes_write_one_lineage_and_train_what_one_trains(tmp_path):
    two, one = Store(launch(tmp_path)), Store(tmp_path / "one")
    for data in arrivals(2):
        update(one, data)
    assert len(two.versions()) == len(one.versions()) == 2
    assert [a.digest for a in two.arrivals()] == [a.digest for a in one.arrivals()]
    assert [e.kind for e in two.log()] == [e.kind for e in one.log()]
    assert two.verify() == []
    ours, theirs = two.versions()[0], one.versions()[0]
    assert ours.document("training")["steps"] == theirs.document("training")["steps"]
    pairs = zip(ours.load(task()).parameters(), theirs.load(task()).parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in pairs)
