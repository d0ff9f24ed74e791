"""R10: versions, arrivals, checkpoints, addresses and rows that an attacker prepared are refused.

Each case is forged so that digests, identity and row agree: what is left to refuse it is whoever reads it.
Each is tried in a forked child that notes code that is run, files that are opened elsewhere, and the
memory it took; a canary file tells whether a pickle was loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import torch

from benchmarks.reliability._campaign import Outcome, Setting, Tally, paced
from benchmarks.reliability._hostile import forged
from benchmarks.reliability._hostile.cases import corpus
from benchmarks.reliability._hostile.pages import pages
from benchmarks.reliability._hostile.trial import Case, tried

FIGURES = ("R10",)
QUICK = 10  # the fast subset: one case of so many


def _sound(folder: Path) -> None:
    forged.forged_version(folder, {})


SOUND = Case(name="sound", prepare=_sound, attempt=forged.use_version, harmless=True)


def run(setting: Setting) -> list[Outcome]:
    """The whole corpus, or each tenth of it."""
    tally, grown = Tally(), 0.0
    for name, problem, growth in _tried(setting):
        tally.case(name, problem)
        grown = max(grown, growth)
    kinds = Counter(name.partition(":")[0] for name in tally.cases)
    return [
        Outcome(
            figure="R10",
            promise="hostile artifacts are refused: no code run, nothing touched elsewhere, memory bounded",
            cases=tally.total,
            violations=len(tally.broken),
            bar="at least 48 cases, all refused; memory below twice the file or 64 MB",
            met=not tally.broken and tally.total >= 48,
            counts={"largest growth in MB": round(grown / 2**20, 1), **kinds},
            notes=(
                "a page of the report counts as a case: what is hostile in it must be shown, not run",
                "JSON documents up to 64 MB are read; well-formed ones take up to 24 times their size",
            ),
            examples=tuple(tally.broken),
        )
    ]


def _tried(setting: Setting) -> list[tuple[str, str | None, float]]:
    """Tries all in one fresh interpreter, whose children have nothing but what a reader has."""
    code = "from benchmarks.reliability.hostile import _main; _main()"
    values = {"folder": str(setting.folder), "full": setting.full}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(values),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [(name, problem, growth) for name, problem, growth in json.loads(done.stdout)]


def _main() -> None:
    setting = json.load(sys.stdin)
    torch.set_num_threads(1)
    os.fsync = lambda fd: None  # it matters to a power cut only
    folder = Path(setting["folder"])
    forged.sound(folder / "sound")

    def warm() -> None:
        forged.use_version(folder / "sound")

    warm()
    cases = [SOUND, *corpus(), *pages()][:: 1 if setting["full"] else QUICK]
    lines = paced(cases, lambda line: print(line, file=sys.stderr), "hostile")
    print(json.dumps([(case.name, *tried(case, folder / str(n), warm)) for n, case in enumerate(lines)]))
