"""The disk is full, has no inodes left, is read-only, or a right is lost: a clear error, and nothing breaks.

Each trial (see ``_scarce``) has a store of its own with a champion in service. Something is written while
the condition holds, and again when it is over. Full disks are real ones, in memory, with every number of
pages left; sizes of what is written lie around the boundaries of pages, so that space runs out in weights,
documents, manifests, and SQLite's log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.reliability._campaign import Outcome, Setting, Tally, paced
from benchmarks.reliability._scarce import ACTIONS, NOT_PERMITTED

FIGURES = ("R6",)
ROOT = Path(__file__).resolve().parents[2]
# How many trials of each condition the fast subset has.
FEW = {"space": 17, "inodes": 4, "read-only": 2, "denied": 6}
IN_FILES, IN_DATABASE = ("commit", "arrival", "checkpoint"), ("promote", "rollback", "record", "forget")
PAGE = 4096
Case = dict[str, Any]


def run(setting: Setting) -> list[Outcome]:
    """Every trial under every condition."""
    every = cases(Random(setting.seed))
    chosen = every if setting.full else _few(every)
    tally, told = Tally(), Counter[str]()
    refused, kept, missing = Counter[str](), 0, ""
    for case, answer in trials(setting, chosen):
        if NOT_PERMITTED in answer:
            missing = (
                f"full and read-only disks not tried: a mount is {NOT_PERMITTED} ({answer[NOT_PERMITTED]})"
            )
            continue
        problems = answer["problems"]
        tally.case(case["condition"], f"{case}: {'; '.join(problems)}" if problems else None)
        if answer.get("refused"):
            refused[case["action"]] += 1
            told[_what(answer["refused"])] += 1
        kept += bool(answer.get("kept"))
    counts = {
        **tally.cases,
        "sizes and pages left": len(
            {(c["action"], c["size"], c["left"]) for c in chosen if c["condition"] == "space"}
        ),
        "refused": dict(sorted(refused.items())),
        "succeeded in spite of it": tally.total - sum(refused.values()),
        "told": dict(told.most_common()),
        "complete folders that wait to be taken up": kept,
    }
    return [_outcome(tally, counts, len(chosen), missing)]


def _outcome(tally: Tally, counts: dict[str, Any], wanted: int, missing: str) -> Outcome:
    return Outcome(
        figure="R6",
        promise="no space, inodes or rights: a clear error, the champion serves on, nothing is left behind",
        cases=tally.total,
        violations=len(tally.broken),
        bar="no violation in at least 220 trials, 200 of them with different sizes or space left",
        met=tally.total == wanted and not tally.broken,
        counts=counts,
        notes=(missing,) if missing else (),
        examples=tuple(tally.broken),
    )


def _what(refusal: str) -> str:
    return refusal.removeprefix("headstart: error: ").partition(" | ")[0]


# --------------------------------------------------------------------------------------------- cases


def cases(random: Random) -> list[Case]:
    """Every trial of the full size."""
    return [*_space(random), *_inodes(), *_read_only(), *_denied()]


def _case(condition: str, action: str, size: int = 6000, **more: Any) -> Case:
    verbs = ["log", "show"] if condition != "space" or not more["left"] else []
    return {
        "condition": condition,
        "action": action,
        "size": size,
        "held": action != "update",
        "hides": False,
        "verbs": verbs,
        **more,
    }


def _space(random: Random) -> Iterator[Case]:
    for action in IN_FILES:
        for left in range(14):
            # Less than a page; around a boundary of pages, to the byte that tensors allow; anything.
            around = PAGE * random.randint(1, 5) - random.choice((0, 4, 8, 12, 64, 96, 128, 136))
            for size in (random.randrange(4, 2000, 4), around, random.randrange(4, 5 * PAGE, 4)):
                yield _case("space", action, size, left=left)
    for action in IN_DATABASE:
        for left in range(10):
            for size in (random.randint(1, 500), random.randint(4 * PAGE, 6 * PAGE)):
                yield _case("space", action, size, left=left)
    for left in range(6):
        for size in (random.randint(1, 500), PAGE * random.randint(3, 5) - 85 - random.randint(-2, 2)):
            yield _case("space", "note", size, left=left)
    for left in range(0, 60, 3):
        yield _case("space", "update", left=left)


def _inodes() -> Iterator[Case]:
    for action in (*IN_FILES, "note", "record", "update"):
        for left in range(7):
            yield _case("inodes", action, left=left)


def _read_only() -> Iterator[Case]:
    for action in (*ACTIONS, "update"):
        yield _case("read-only", action, held=False)


def _denied() -> Iterator[Case]:
    """Rights that are lost: which, and whether the champion's own files are hidden by it."""
    places: dict[str, tuple[str, tuple[int, ...]]] = {
        "": ("commit", (0o444, 0)),
        "versions": ("commit", (0o444, 0)),
        "versions/CHAMPION": ("commit", (0o444, 0)),
        "versions/CHAMPION/manifest.json": ("record", (0,)),
        "versions/CHAMPION/model.safetensors": ("record", (0,)),
        "versions/NEWEST": ("rollback", ()),
        "versions/NEWEST/manifest.json": ("rollback", ()),
        "versions/NEWEST/model.safetensors": ("rollback", ()),
        "arrivals": ("arrival", ()),
        "runs": ("checkpoint", ()),
        "runs/r": ("checkpoint", ()),
        "store.db": ("record", ()),
    }
    for path, (action, hiding) in places.items():
        for mode in (0, 0o444, 0o555):
            for held in (True, False):
                yield _case("denied", action, path=path, mode=mode, held=held, hides=mode in hiding)
    for path in ("", "versions", "arrivals", "runs", "store.db", "versions/CHAMPION/model.safetensors"):
        yield _case("denied", "update", path=path, mode=0)


def _few(every: Sequence[Case]) -> list[Case]:
    """Of full disks those that end in the middle of what is written; of the others some, evenly."""
    found: list[Case] = []
    for condition, count in FEW.items():
        group = [case for case in every if case["condition"] == condition]
        if condition == "space":
            pages = {(case["action"], case["left"]): case for case in sorted(group, key=lambda c: c["size"])}
            group = [case for (_, left), case in pages.items() if left in (2, 5)] + [pages["update", 9]]
        found += [group[(2 * number + 1) * len(group) // (2 * count)] for number in range(count)]
    return found


# --------------------------------------------------------------------------------------------- trials


def trials(setting: Setting, chosen: list[Case]) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Each case with what became of it."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.reliability._scarce", str(setting.folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if not process.stdin or not process.stdout:
            raise RuntimeError("the trials have no pipes")
        for case in paced(chosen, setting.say, "trials"):
            print(json.dumps(case), file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the process of the trials ended early")
            yield case, json.loads(line)
        process.stdin.close()
