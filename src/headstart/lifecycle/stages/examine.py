"""Examine: diagnose the arrival, and choose the starts that race."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from headstart.lifecycle.choose import Choice, choose
from headstart.lifecycle.context import Context
from headstart.lifecycle.data.split import TRAIN
from headstart.lifecycle.diagnose import diagnose, shifted
from headstart.lifecycle.memory import Pool
from headstart.lifecycle.plan import StartSpec
from headstart.lifecycle.tasks.base import Schema
from headstart.protocols import Finding

__all__ = ["examine", "shortlist", "to_choices"]


def examine(context: Context, received: dict[str, Any], pool: Pool) -> list[dict[str, Any]]:
    """Findings about the new training rows against the old ones and the champion."""
    task, index = context.task, received["arrival"]
    schema = Schema.from_dict(received["schema"])
    new = pool.where(TRAIN, index)
    old = np.flatnonzero((pool.sides == TRAIN) & (pool.arrivals != index))
    champion = context.store.version(received["champion"]) if received["champion"] else None
    model = None
    new_examples = task.encode(pool.rows.take(new), schema)
    if champion is not None:
        model = champion.load(task).to(context.engine.device)
        known = len(champion.document("schema")["target"].get("classes") or [])
        if known and known < len(schema.target.get("classes") or []):
            # The champion has no output for a new class, so it has no loss there either.
            new_examples = new_examples.take(torch.nonzero(new_examples.targets < known).flatten())
    findings = diagnose(
        task,
        model=model if len(new_examples) else None,
        old=task.encode(pool.rows.take(old), schema) if len(old) else None,
        new=new_examples,
        old_rows=pool.rows.take(old) if len(old) else None,
        new_rows=pool.rows.take(new),
        schema=schema,
        seed=context.seed,
    )
    return [finding.to_dict() for finding in findings]


def shortlist(
    context: Context, received: dict[str, Any], findings: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Which starts race at this arrival, and why."""
    values = [Finding(**finding) for finding in findings]
    history = [record for _, record in context.store.records("done")]
    choices = choose(
        context.starts,
        values,
        history,
        context.settings.race,
        shifted=shifted(values),
        parent=received["parent"] is not None,
    )
    return [choice.to_dict() for choice in choices]


def to_choices(shortlist: list[dict[str, Any]]) -> list[Choice]:
    """The short list as values again."""
    return [Choice(StartSpec(item["start"], item["settings"]), item["reason"]) for item in shortlist]
