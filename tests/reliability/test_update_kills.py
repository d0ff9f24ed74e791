"""update() killed at every named point of its chain, run again: the same lineage and digests."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from headstart.lifecycle.failpoints import POINTS
from headstart.lifecycle.store import Store
from tests.lifecycle.stream import lineage

# One process imports everything and takes the first arrival once; every trial is a fork of it that
# takes the second arrival in a copy of the store, is killed, and is run again.
DRIVER = textwrap.dedent(
    """
    import json, os, shutil, sys
    import torch
    torch.set_num_threads(1)
    import headstart.api, headstart.lifecycle.diagnose, headstart.lifecycle.verify
    from tests.lifecycle.stream import arrivals, update
    first, second = arrivals(2)

    def trial(folder, data, point=""):
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1]
        if point:
            os.environ["HEADSTART_FAILPOINT"] = point
        code = 1
        try:
            update(folder, data)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)

    root, points = sys.argv[1], json.loads(sys.argv[2])
    results = {"base": [trial(root + "/base", first)]}
    for point in ["", *points]:
        folder = root + "/" + (point or "whole").replace(":", "-")
        shutil.copytree(root + "/base", folder)
        kill = [trial(folder, second, point)] if point else []
        results[point] = [*kill, trial(folder, second)]
    print(json.dumps(results))
    """
)
TRIALS = {
    "arrival-received": "the arrival is stored, the run is not begun",
    "diagnosed": "findings noted",
    "chosen": "short list noted",
    "race-rung": "in the race",
    "entrant-checkpoint:3": "in the race, before a checkpoint",
    "checkpoint-written:6": "in training, with two checkpoints on disk",
    "trained": "trained",
    "before-commit": "before the commit",
    "committed": "committed",
    "judged": "judged",
    "before-decision": "before the decision",
    "after-decision": "after the decision",
    "before-remember": "before the records",
    "before-cleanup": "before the cleanup",
}

pytestmark = pytest.mark.xdist_group("update-kills")


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    root = tmp_path_factory.mktemp("kills")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(root), json.dumps(list(TRIALS))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["base"] == results[""] == [0], done.stderr
    return root, results, lineage(Store(root / "whole"))


@pytest.mark.parametrize("point", TRIALS)
def test_killed_and_run_again_it_ends_with_the_same_lineage(point, trials):
    root, results, reference = trials
    assert results[point] == [9, 0], "killed by SIGKILL, then finished"
    store = Store(root / point.replace(":", "-"))
    assert lineage(store) == reference
    assert store.verify() == []
    assert list((store.root / "runs").iterdir()) == []


def test_every_trial_is_a_named_point():
    assert {trial.partition(":")[0] for trial in TRIALS} <= set(POINTS)
