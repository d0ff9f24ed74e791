"""Two processes under torchrun train what one process trains, and update one store once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from headstart.lifecycle.store import Store
from tests.lifecycle.stream import arrivals, lineage, task, update

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


pytestmark = pytest.mark.xdist_group("ddp")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(folder / "script.py"), str(folder / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    one = Store(folder / "one")
    for data in arrivals(2):
        update(one, data)
    return Store(folder / "two"), one


def test_two_processes_write_one_lineage(stores):
    two, one = stores
    assert len(two.versions()) == len(one.versions()) == 2
    assert [a.digest for a in two.arrivals()] == [a.digest for a in one.arrivals()]
    assert [e.kind for e in two.log()] == [e.kind for e in one.log()]
    assert two.verify() == []


def test_the_first_run_takes_the_same_steps_to_nearly_the_same_weights(stores):
    two, one = (store.versions()[0] for store in stores)
    assert two.document("training")["steps"] == one.document("training")["steps"]
    for ours, theirs in zip(two.load(task()).parameters(), one.load(task()).parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)
    json.dumps(lineage(stores[0]))
