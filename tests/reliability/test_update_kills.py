"""update() killed at every named point of its chain, run again: the same lineage and digests."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

from headstart.lifecycle.failpoints import POINTS
from headstart.lifecycle.store import Store
from tests.lifecycle.stream import lineage

# One process takes the first arrival; every trial is a fork of it that takes the second arrival in a
# copy of the store, is killed, and is run again.
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
    update(root + "/base", first)  # in this process, so that its forks find everything imported
    results = {}
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


def test_killed_anywhere_and_run_again_it_ends_with_the_same_lineage(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), json.dumps(list(TRIALS))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results[""] == [0], done.stderr
    reference = lineage(Store(tmp_path / "whole"))
    for point in TRIALS:
        assert results[point] == [9, 0], f"{point}: killed by SIGKILL, then finished\n{done.stderr}"
        store = Store(tmp_path / point.replace(":", "-"))
        assert lineage(store) == reference, point
        assert store.verify() == [], point
        assert list((store.root / "runs").iterdir()) == [], point


def test_every_trial_is_a_named_point():
    assert {trial.partition(":")[0] for trial in TRIALS} <= set(POINTS)
