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

# One process imports everything once, then every trial runs in a fork of it.
DRIVER = textwrap.dedent(
    """
    import json, os, sys
    import torch
    torch.set_num_threads(1)
    from tests.lifecycle.stream import arrivals, update

    def trial(folder, point):
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1]
        if point:
            os.environ["HEADSTART_FAILPOINT"] = point
        code = 1
        try:
            for data in arrivals(2):
                update(folder, data)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)

    root, points = sys.argv[1], json.loads(sys.argv[2])
    results = {"": [trial(root + "/whole", "")]}
    for point in points:
        folder = root + "/" + point.replace(":", "-")
        results[point] = [trial(folder, point), trial(folder, "")]
    print(json.dumps(results))
    """
)
TRIALS = {
    "arrival-received:2": "the arrival is stored, the run is not begun",
    "diagnosed:2": "findings noted",
    "chosen:2": "short list noted",
    "race-rung:2": "in the race",
    "entrant-checkpoint:6": "in training, before a checkpoint",
    "checkpoint-written:7": "in training, with two checkpoints on disk",
    "trained:2": "trained",
    "files-written:12": "while files are committed",
    "before-commit:2": "before the commit",
    "committed:2": "committed",
    "judged:2": "judged",
    "before-decision:2": "before the decision",
    "after-decision:2": "after the decision",
    "before-remember:2": "before the records",
    "before-cleanup:2": "before the cleanup",
}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    root = tmp_path_factory.mktemp("kills")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(root), json.dumps(list(TRIALS))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results[""] == [0], done.stderr
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
