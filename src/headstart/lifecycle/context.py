"""What every stage of an update knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from headstart.errors import UserCodeError
from headstart.lifecycle.budget import Budget
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.engine import Engine
from headstart.lifecycle.notes import Notes
from headstart.lifecycle.plan import StartSpec
from headstart.lifecycle.settings import Settings
from headstart.lifecycle.signals import StopFlag
from headstart.lifecycle.store import Store
from headstart.lifecycle.tasks.base import Schema, Task
from headstart.nn.streams import seeded

__all__ = ["Context", "Progress", "build_model", "fingerprint", "run_key"]

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Context:
    """The inputs of one update, the same for every stage."""

    task: Task
    store: Store
    rows: Rows
    gate_rows: Rows | None
    starts: tuple[StartSpec, ...]
    budget: Budget
    settings: Settings
    seed: int
    engine: Engine
    stop: StopFlag
    progress: Progress
    key: str
    notes: Notes
    source: str | None = None

    def say(self, stage: str, message: str, **values: Any) -> None:
        """Tells whoever watches what happens now."""
        self.progress({"stage": stage, "message": message, **values})


def fingerprint(value: Any) -> str:
    """16 hex digits that identify a JSON value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_key(
    task: Task,
    rows: Rows,
    gate_rows: Rows | None,
    starts: Sequence[StartSpec],
    budget: Budget,
    settings: Settings,
    seed: int,
) -> str:
    """The run's name: the same inputs give the same name, so a run that was cut short is found again."""
    train = {k: v for k, v in settings.to_dict()["train"].items() if k not in _FREE}
    return fingerprint(
        {
            "task": task.describe(),
            "data": rows.digest(),
            "gate": gate_rows.digest() if gate_rows is not None else None,
            "starts": [spec.to_dict() for spec in starts],
            "budget": budget.to_dict(),
            "settings": {**settings.to_dict(), "train": train},
            "seed": seed,
        }
    )


# Settings that change how a run is computed but not what it computes.
_FREE = ("checkpoint_every", "device")


def build_model(task: Task, schema: Schema, seed: int, *names: object) -> nn.Module:
    """A fresh model, its random initialization drawn from a stream of its own.

    Raises:
        UserCodeError: the user's own code failed.
    """
    with seeded(seed, "init", *names):
        model = task.build(schema)
    if not any(True for _ in model.parameters()):
        raise UserCodeError(
            "the model has no parameters",
            where="task.model",
            got=type(model).__name__,
            fix="give a model whose layers are attributes of it, so that PyTorch registers them",
        )
    return model
