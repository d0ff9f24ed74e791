"""A small stream of real arrivals for tests of the lifecycle."""

from __future__ import annotations

import numpy as np
import torch

import headstart as hs
from headstart.lifecycle.data.embedded import load

TRAIN = hs.TrainSettings(epochs=40, lr=0.01, batch_size=64, checkpoint_every=5)
BUDGET = hs.Budget(steps=400)
STARTS = ("spectral-temper", "shrink-perturb", "warm", "scratch")


def task():
    return hs.tasks.TabularClassification(target="label", hidden=(16,))


def arrivals(count: int = 3, size: int = 120, seed: int = 0):
    """Digits, in parts."""
    table = load("digits")
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed)).numpy()
    return [table.take(np.asarray(order[i * size : (i + 1) * size])) for i in range(count)]


def update(store, data, **options):
    settings = {"starts": STARTS, "budget": BUDGET, "train": TRAIN, "report": False, **options}
    return hs.update(task(), store, data, **settings)


def lineage(store: hs.Store):
    """What must not depend on kills: versions with parents and digests, decisions, arrivals, champion."""
    champion = store.champion()
    return {
        "versions": [(v.id, v.parents) for v in store.versions()],
        "log": [(e.kind, e.version) for e in store.log()],
        "arrivals": [(a.index, a.digest) for a in store.arrivals()],
        "champion": champion.id if champion else None,
        "records": [
            {k: v for k, v in record.items() if "seconds" not in k} for _, record in store.records("done")
        ],
    }
