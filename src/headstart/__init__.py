"""Headstart keeps models current.

When data arrives it starts the next training run from what is already known, proves the new version
against the one in service, and only then puts it in service.

>>> import headstart as hs
>>> store = hs.Store("runs/digits")
>>> task = hs.tasks.TabularClassification(target="label")
>>> result = hs.update(task, store, "new.csv", budget=hs.Budget(steps=2000))
>>> result.decision
'promote'

Importing this package imports nothing else: names are resolved when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart import methods
    from headstart.api import UpdateResult, judge, race, update
    from headstart.errors import HeadstartError, InputError
    from headstart.lifecycle import gate, tasks
    from headstart.lifecycle.budget import Budget
    from headstart.lifecycle.data.read import read
    from headstart.lifecycle.settings import GateSettings, RaceSettings, Settings, TrainSettings
    from headstart.lifecycle.store import Store, Version
    from headstart.lifecycle.tasks.base import Task
    from headstart.lifecycle.verdict import Verdict

__version__ = "0.1.0"

_PLACES = {
    "Budget": "lifecycle.budget",
    "GateSettings": "lifecycle.settings",
    "HeadstartError": "errors",
    "InputError": "errors",
    "RaceSettings": "lifecycle.settings",
    "Settings": "lifecycle.settings",
    "Store": "lifecycle.store",
    "Task": "lifecycle.tasks.base",
    "TrainSettings": "lifecycle.settings",
    "UpdateResult": "api",
    "Verdict": "lifecycle.verdict",
    "Version": "lifecycle.store",
    "judge": "api",
    "race": "api",
    "read": "lifecycle.data.read",
    "update": "api",
}
_MODULES = {"gate": "lifecycle.gate", "methods": "methods", "tasks": "lifecycle.tasks"}

__all__ = [
    "Budget",
    "GateSettings",
    "HeadstartError",
    "InputError",
    "RaceSettings",
    "Settings",
    "Store",
    "Task",
    "TrainSettings",
    "UpdateResult",
    "Verdict",
    "Version",
    "__version__",
    "gate",
    "judge",
    "methods",
    "race",
    "read",
    "tasks",
    "update",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"headstart.{_MODULES[name]}")
    if name in _PLACES:
        return getattr(importlib.import_module(f"headstart.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
