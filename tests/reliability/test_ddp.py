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


def test_two_processes_write_one_lineage_and_train_what_one_trains(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(tmp_path / "script.py"), str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    two, one = Store(tmp_path / "two"), Store(tmp_path / "one")
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
