"""Named points at which a test may kill the process. Off unless ``HEADSTART_FAILPOINT`` names one.

``HEADSTART_FAILPOINT=NAME[:COUNT]`` kills the process with SIGKILL at the COUNT-th pass of the point
(the first by default): what a power cut does to a program, at a place that can be chosen.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["POINTS", "failpoint", "passes"]

POINTS = {
    "files-written": "a version's or arrival's files are written into their temporary folder",
    "before-rename": "they are on disk, the folder still has its temporary name",
    "after-rename": "the folder has its name, the database does not know it",
    "before-row": "inside the transaction that makes a version known",
    "after-row": "the version is committed",
    "before-promotion": "inside the transaction of a promotion",
    "after-promotion": "the promotion is committed",
    "before-record": "an evidence record is about to be written",
    "after-record": "the evidence record is committed",
    "before-removal": "an arrival is forgotten, its copy is still there",
    "checkpoint-written": "a checkpoint is on disk, the one before is still there",
    "checkpoint-done": "the checkpoint before has been removed",
    "arrival-received": "update: the arrival is stored",
    "diagnosed": "update: the findings are noted",
    "chosen": "update: the short list is noted",
    "race-rung": "update: a rung of the race has been run",
    "entrant-checkpoint": "update: an entrant is about to write a checkpoint",
    "trained": "update: the winner's run is over",
    "before-commit": "update: the candidate is about to be committed",
    "committed": "update: the candidate is committed",
    "judged": "update: the verdict is noted",
    "before-decision": "update: the decision is about to be carried out",
    "after-decision": "update: the decision is carried out",
    "before-remember": "update: the retention is about to be applied",
    "memory-recorded": "update: what is kept of the past is stored, arrivals are not yet forgotten",
    "before-cleanup": "update: everything is recorded, the run's folder still exists",
}

# How often each point was passed, counted while the variable is set, to whatever name.
passes: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Kills the process if the environment says so; otherwise does nothing."""
    wanted = os.environ.get("HEADSTART_FAILPOINT")
    if not wanted:
        return
    passes[name] += 1
    point, _, count = wanted.partition(":")
    if point == name and passes[name] >= int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
