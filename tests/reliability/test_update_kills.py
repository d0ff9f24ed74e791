"""update() killed at every named point of its chain, run again: the same lineage and digests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from headstart.lifecycle.store import Store
from tests.lifecycle.stream import lineage

SCRIPT = textwrap.dedent(
    """
    import sys
    import torch
    torch.set_num_threads(1)
    from tests.lifecycle.stream import arrivals, update
    for data in arrivals(2):
        update(sys.argv[1], data)
    """
)
POINTS = {
    "arrival-received:2": "received",
    "diagnosed:2": "diagnosed",
    "chosen:2": "chosen",
    "race-rung:2": "in the race",
    "entrant-checkpoint:6": "in training",
    "trained:2": "trained",
    "before-commit:2": "before the commit",
    "committed:2": "committed",
    "judged:2": "judged",
    "before-decision:2": "before the decision",
    "after-decision:2": "after the decision",
    "before-remember:2": "before the records",
    "before-cleanup:2": "before the cleanup",
}


def run(folder, point=""):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("HEADSTART_FAILPOINT", None)
    if point:
        environment["HEADSTART_FAILPOINT"] = point
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "s"
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return lineage(Store(folder))


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again_it_ends_with_the_same_lineage(point, reference, tmp_path):
    killed = run(tmp_path / "s", point)
    assert killed.returncode == -9, killed.stderr
    again = run(tmp_path / "s")
    assert again.returncode == 0, again.stderr
    store = Store(tmp_path / "s")
    assert lineage(store) == reference
    assert store.verify() == []
