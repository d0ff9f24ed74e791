"""Small versions and arrivals for the store's tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.store import ArrivalDraft, Store, Version, VersionDraft


def weights(value: float = 0.0) -> dict[str, Tensor]:
    return {"layer.weight": torch.full((3, 2), value), "layer.bias": torch.arange(3.0) + value}


def commit(store: Store, value: float, *parents: str, **documents: object) -> Version:
    return store.commit_version(
        VersionDraft(weights=weights(value), parents=parents, documents={"plan": {"lr": value}, **documents})
    )


def table(size: int = 6, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    names = np.array([f"n{i}é" for i in range(size)], dtype=object)
    return Rows({"x": random.normal(size=size), "name": names})


def arrival(rows: Rows, **note: object) -> ArrivalDraft:
    sides = np.array([i % 3 for i in range(len(rows))], dtype=np.int8)
    return ArrivalDraft(rows=rows, digest=rows.digest(), sides=sides, note=note)
