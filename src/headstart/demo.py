"""The demo: scikit-learn's digits arrive in six parts; one store keeps a model current, one trains anew.

Everything is real: the data are handwritten digits, both arms train to the same stopping rule on the
same rows, and the steps of every entrant of every race are counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.api import story, update
from headstart.errors import InputError
from headstart.lifecycle.data.embedded import load
from headstart.lifecycle.settings import GateSettings
from headstart.lifecycle.store import Store
from headstart.lifecycle.tasks import TabularClassification
from headstart.nn.streams import generator
from headstart.report import write

__all__ = ["run"]

# Rows of each arrival; the small first one leaves something to learn.
SIZES = (150, 150, 250, 350, 400, 497)
STARTS = ("spectral-temper", "shrink-perturb", "scratch")


def run(
    out: Path, *, seed: int = 0, progress: Callable[[Mapping[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Runs the demo into a folder and returns its summary.

    Writes ``report.html`` (with Markdown and JSON twins), ``summary.json``, and the two stores.

    Args:
        out: folder; made if it is not there. A demo that was cut short there is taken up again.
        seed: of the order of the data and of all training.
        progress: called at every stage.

    Raises:
        InputError: the folder holds something else.
    """
    out = Path(out)
    _claim(out)
    table = load("digits")
    order = torch.randperm(len(table), generator=generator(seed, "demo")).numpy()
    stores = {arm: Store(out / "stores" / f"{arm}-{seed}") for arm in ("kept-current", "from-scratch")}
    task = TabularClassification(target="label")
    gate = GateSettings(require="non-inferiority", margin=0.03, max_looks=1)
    begin = 0
    for number, size in enumerate(SIZES, start=1):
        arrival = table.take(np.asarray(order[begin : begin + size]))
        begin += size
        for arm, store in stores.items():
            starts = STARTS if arm == "kept-current" else ("scratch",)
            _say(progress, f"arrival {number} of {len(SIZES)}, {arm}")
            update(task, store, arrival, starts=starts, seed=seed, gate=gate, report=False)
    told = _with_scratch(story(stores["kept-current"], title="Digits, kept current"), stores["from-scratch"])
    write(told, out)
    summary = {"arrivals": told["arrivals"], "totals": told["totals"], "seed": seed}
    temporary = out / ".summary.json.tmp"
    temporary.write_text(json.dumps(summary, indent=1, allow_nan=False), encoding="utf-8")
    os.replace(temporary, out / "summary.json")
    return summary


def _with_scratch(told: dict[str, Any], scratch: Store) -> dict[str, Any]:
    """Puts the measured cost and score of the from-scratch arm in place of the estimates."""
    records = [record for _, record in scratch.records("done")]
    arrivals = [
        {**arrival, "steps_scratch": other["steps_spent"], "scratch_measured": True}
        for arrival, other in zip(told["arrivals"], records, strict=True)
    ]
    totals = {
        **told["totals"],
        "score_final": arrivals[-1]["candidate_score"],
        "steps_scratch": sum(other["steps_spent"] for other in records),
        "score_scratch_final": records[-1]["candidate_score"],
    }
    return {**told, "arrivals": arrivals, "totals": totals}


def _claim(out: Path) -> None:
    ours = {"report.html", "report.md", "report.json", "summary.json", "stores"}
    if out.exists() and not out.is_dir():
        raise InputError(
            "the demo needs a folder to write into",
            where="--out",
            got=f"{out} is a file",
            fix="give a folder that is not there yet",
        )
    if out.is_dir():
        others = sorted(p.name for p in out.iterdir() if p.name not in ours and not p.name.startswith("."))
        if others:
            raise InputError(
                "the folder holds something that is not a demo's",
                where=f"--out {out}",
                got=", ".join(others[:5]),
                fix="give an empty folder or one that is not there yet",
            )
    out.mkdir(parents=True, exist_ok=True)


def _say(progress: Callable[[Mapping[str, Any]], None] | None, message: str) -> None:
    if progress:
        progress({"stage": "demo", "message": message})
