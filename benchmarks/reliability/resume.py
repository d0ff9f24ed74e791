"""R2 and R12: a resumed run is bitwise the run that was never stopped; the same seed gives the same bits.

Every discovered method takes part: the campaign asks the library for all of them and fails when one fits
no run it knows. Runs go through the same entrants, checkpoints and starts as an update's, over a network
with dropout, batch norm and tied weights, so that a stream that is not restored shows.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from benchmarks.reliability import _victims
from benchmarks.reliability._campaign import Outcome, Setting, Tally, paced
from headstart.lifecycle.engine import Engine
from headstart.lifecycle.entrant import Arena, Entrant
from headstart.lifecycle.plan import StartSpec, make_start, plan_for
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.signals import StopFlag
from headstart.lifecycle.tasks.base import Examples
from headstart.lifecycle.train import Run
from headstart.papers import Located, discover
from headstart.protocols import Parent
from headstart.recipes._stream import Labels

FIGURES = ("R2", "R12")
ROOT = Path(__file__).resolve().parents[2]
STEPS = 15  # three epochs of five steps
# Settings that each add something to the state; every one is crossed with every start.
SETTINGS = {
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "sgd, cosine, clip": {
        "optimizer": "sgd",
        "lr": 0.05,
        "schedule": "cosine",
        "warmup_steps": 3,
        "clip_grad_norm": 1.0,
    },
    "accumulate, average": {"accumulate": 2, "ema": 0.9, "schedule": "linear"},
    "patience, bfloat16": {"patience": 4, "autocast": "bfloat16", "schedule": "step"},
}


class Net(nn.Module):
    """Dropout draws, batch norm has buffers, two layers share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(6, 12), nn.BatchNorm1d(12)
        self.drop, self.mix, self.tied = nn.Dropout(0.3), nn.Linear(12, 12), nn.Linear(12, 12)
        self.tied.weight = self.mix.weight
        self.head = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 6) inputs to (n, 2) logits."""
        hidden = self.drop(torch.relu(self.norm(self.first(x))))
        out: Tensor = self.head(torch.relu(self.tied(torch.relu(self.mix(hidden)))))
        return out


def run(setting: Setting) -> list[Outcome]:
    """Both figures."""
    return [resumed(setting), deterministic(setting)]


# ------------------------------------------------------------------------------------------- resuming


def resumed(setting: Setting) -> Outcome:
    """R2."""
    tally = Tally()
    methods = discover()
    cases = [
        (method, name)
        for number, method in enumerate(methods)
        for place, name in enumerate(SETTINGS)
        if setting.full or (number + place) % len(SETTINGS) < 2  # each method with half of the settings
    ]
    for method, name in paced(cases, setting.say, "methods and settings"):
        if method.paper.socket not in RUNS:
            tally.case(method.paper.slug, f"no run is known for the socket {method.paper.socket}")
            continue
        make = RUNS[method.paper.socket](method, TrainSettings(**_settings(name)))
        whole = _digest(_advance(make(setting.folder / f"{method.paper.slug}-{name}"), None))
        for number, stops in enumerate(_stops(setting)):
            folder = setting.folder / f"{method.paper.slug}-{name}-{number}"
            found = _digest(functools.reduce(_advance, (*stops[1:], None), _advance(make(folder), stops[0])))
            wrong = f"{name}, stopped after {stops}" if found != whole else None
            tally.case(method.paper.slug, wrong)
    return Outcome(
        figure="R2",
        promise="a run stopped at any step and resumed from disk ends with the same bits",
        cases=tally.total,
        violations=len(tally.broken),
        bar="every method, at every step of a run and twice resumed, 0 exceptions",
        met=not tally.broken and set(tally.cases) == {m.paper.slug for m in methods},
        counts={"methods": len(methods), "settings": len(SETTINGS), **tally.cases},
        examples=tuple(tally.broken),
    )


def _settings(name: str) -> dict[str, Any]:
    return {"batch_size": 16, "epochs": 3, "stop_at": None, "checkpoint_every": 4, **SETTINGS[name]}


def _stops(setting: Setting) -> list[tuple[int, ...]]:
    """One stop at every step (some of them in the middle of an epoch), and pairs and triples of stops."""
    if not setting.full:
        return [(2,), (5, 9)]
    return [*((step,) for step in range(1, STEPS)), (1, 2), (4, 6), (5, 10), (3, 8, 14), (7, 13)]


def _starting(method: Located, settings: TrainSettings) -> Callable[[Path], Entrant]:
    """Entrants that begin with this start; the same every time."""
    spec, train = StartSpec(method.paper.slug), examples(70)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        trained = Net()
    parent = Parent(
        trained, "parent", lambda: iter([(train.inputs, train.targets)]), nn.functional.cross_entropy
    )

    def fresh() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return Net()

    def make(folder: Path) -> Entrant:
        arena = Arena(
            task=Labels(),  # type: ignore[arg-type]
            train=train,
            dev=examples(20, 9),
            settings=settings,
            seed=1,
            engine=Engine.of(settings),
            fresh=fresh,
            parent=lambda: parent,
            folder=folder,
            stop=StopFlag(),
            changed=lambda entrant: None,
        )
        return Entrant(plan_for(spec, make_start(spec), settings, parent="parent", data={}), arena)

    return make


RUNS: dict[str, Callable[[Located, TrainSettings], Callable[[Path], Entrant]]] = {"start": _starting}


def _advance(entrant: Entrant, until: int | None) -> Entrant:
    """Trains so far and saves; what goes on is a new entrant that takes the run up from disk."""
    entrant.advance(until)
    if until is None:
        return entrant
    entrant.save()
    torch.rand(7)  # what others draw must not matter
    successor = Entrant(entrant.plan, entrant.arena)
    successor.take_up()
    if successor.run.at.step != until:
        raise RuntimeError(f"taken up at step {successor.run.at.step}, saved at {until}")
    return successor


def examples(count: int, seed: int = 0) -> Examples:
    """Rows whose label depends on the first two inputs."""
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return Examples(x, (x[:, 0] + 0.5 * x[:, 1] > 0).long())


def _digest(entrant: Entrant) -> str:
    return digest_of(entrant.run)


def digest_of(run: Run) -> str:
    """SHA-256 of everything a run holds: weights, optimizer, averages, streams, curves; not the clock."""
    tensors, document = run.state()
    document["at"] = {k: v for k, v in document["at"].items() if k != "seconds"}
    text = _victims.weights_digest(tensors) + json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------------------------------- determinism

SCRIPT = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from benchmarks.reliability.resume import one_update
print(one_update(sys.argv[2]))
"""


def one_update(folder: str) -> str:
    """Ids of the versions that two updates commit, which are digests of all that is in them."""
    from headstart.lifecycle.store import Store

    _victims.prepare("update", Path(folder), 0)
    _victims.work("update", Path(folder), 0)
    return " ".join(Store(folder).version_ids())


def deterministic(setting: Setting) -> Outcome:
    """R12."""
    tally = Tally()
    count = setting.size(20, 2)
    ids = [
        _elsewhere(setting.folder / f"same-{n}", 1, str(n))
        for n in paced([*range(count)], setting.say, "processes")
    ]
    for number, found in enumerate(ids):
        tally.case(
            "processes", f"process {number} made {found}, the first {ids[0]}" if found != ids[0] else None
        )
    counts: dict[str, Any] = {"processes": count}
    if setting.full:
        counts["two threads give the bits of one"] = _elsewhere(setting.folder / "two", 2, "0") == ids[0]
    for seed in range(setting.size(40, 3)):
        gap, slope, p_value = accumulation(seed)
        counts["largest relative difference, 8 x 1 against 1 x 8"] = max(
            gap, counts.get("largest relative difference, 8 x 1 against 1 x 8", 0.0)
        )
        wrong = gap > 1e-6 or abs(slope) > 1e-6 or p_value < 1e-4
        tally.case("accumulation", f"seed {seed}: {gap}, {slope}, {p_value}" if wrong else None)
    return Outcome(
        figure="R12",
        promise="the same seed gives the same bits in any process; eight micro-batches are one batch",
        cases=tally.total,
        violations=len(tally.broken),
        bar="one digest in 20 processes; 1 x 8 and 8 x 1 within 1e-6, differences of mean zero",
        met=not tally.broken and count >= 20,
        counts=counts,
        notes=(
            "every process has another hash seed",
            "the number of threads is part of what must be the same",
        ),
        examples=tuple(tally.broken),
    )


def _elsewhere(folder: Path, threads: int, hash_seed: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SCRIPT, str(threads), str(folder)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr[-500:]


def accumulation(seed: int) -> tuple[float, float, float]:
    """The gradient of a batch of eight, in one piece and in eight pieces of one, float32.

    Returns:
        The largest difference as a share of the largest gradient; the slope of the differences on the
        gradient, which a wrong weight of the pieces would show in; and the p-value of "the differences
        have mean zero".
    """
    gradients = []
    for pieces in (1, 8):
        settings = TrainSettings(
            optimizer="sgd", lr=1.0, momentum=0.0, batch_size=8, accumulate=pieces, epochs=1, stop_at=None
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
        run = Run(Labels(), model, examples(8, seed), None, settings, seed=seed)  # type: ignore[arg-type]
        run.advance(1)
        gradients.append(
            torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])
        )
    whole, parts = (np.asarray(g) for g in gradients)
    residual = parts - whole
    slope = float(residual @ whole / (whole @ whole))
    p_value = float(stats.ttest_1samp(residual, 0.0).pvalue) if residual.any() else 1.0
    return float(np.abs(residual).max() / np.abs(whole).max()), slope, p_value
