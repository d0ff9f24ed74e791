"""Judge: commit the candidate, prove it against the champion, and decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.lifecycle import gate
from headstart.lifecycle.context import Context, fingerprint
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.data.split import GATE, TRAIN, group_names
from headstart.lifecycle.entrant import Entrant
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.memory import Pool
from headstart.lifecycle.store import Version, VersionDraft
from headstart.lifecycle.tasks.base import Schema, Task, score
from headstart.lifecycle.verdict import Verdict

__all__ = ["commit", "decide", "judge"]

_SHOWN = 20


def commit(context: Context, received: dict[str, Any], winner: Entrant, record: dict[str, Any]) -> Version:
    """Writes the winner as a version. The same run gives the same version, whenever it is repeated."""
    shipped = winner.run.final_model().state_dict()
    average = winner.run.average is not None
    draft = VersionDraft(
        weights=shipped,
        extra_weights={"trunk": winner.run.model.state_dict()} if average else {},
        parents=(winner.plan.parent,) if winner.plan.parent else (),
        documents={
            "task": context.task.describe(),
            "schema": received["schema"],
            "plan": winner.plan.to_dict(),
            "training": {
                "run": context.key,
                "arrival": received["arrival"],
                "data": context.rows.digest(),
                "seed": context.seed,
                "settings": context.settings.to_dict(),
                "steps": winner.spent.steps,
                "samples": winner.spent.samples,
                "race_steps": record["steps_race"],
                "ended": winner.run.at.finished or "out of budget",
                "phase": "annealed" if average else "trunk",
            },
        },
    )
    failpoint("before-commit")
    return context.engine.first(lambda: context.store.commit_version(draft))


def judge(context: Context, received: dict[str, Any], candidate: Version, pool: Pool) -> dict[str, Any]:
    """Pairs champion and candidate on the sealed items and returns the verdict with its scores."""
    task, schema = context.task, Schema.from_dict(received["schema"])
    rows = context.gate_rows
    if rows is None:
        rows = pool.rows.take(pool.where(GATE))
    if len(rows) == 0:
        return _undecided(task)
    examples = task.encode(rows, schema)
    index = np.arange(len(rows)) if examples.rows is None else examples.rows.numpy()
    ours = _scores(context, candidate, examples)
    train = task.encode(pool.rows.take(pool.where(TRAIN)), schema)
    base = task.baseline(train, examples)
    groups = _groups(task, rows, index)
    values: dict[str, Any] = {
        "candidate_score": float(ours.mean()),
        "baseline_score": float(base.mean()),
        "champion_score": None,
        "gate_items": len(ours),
        "gate_digest": rows.digest(),
    }
    if received["champion"] is None:
        verdict = gate.first(ours.numpy(), base.numpy())
    else:
        theirs = _scores(context, context.store.version(received["champion"]), examples)
        values["champion_score"] = float(theirs.mean())
        verdict = _compare(context, theirs, ours, groups, _slices(task, rows, index), rows.digest())
    document = verdict.to_dict()
    return {
        **values,
        "decision": document["decision"],
        "verdict": document,
        "regressed": _preview(rows, index, document.get("regressed", [])),
    }


def decide(context: Context, received: dict[str, Any], candidate: Version, judged: Mapping[str, Any]) -> None:
    """Carries the decision out: one compare-and-set for a promotion, an event otherwise."""
    store, decision = context.store, judged["decision"]
    reason = "; ".join(judged["verdict"]["reasons"])
    failpoint("before-decision")
    champion = store.champion()
    if champion is not None and champion.id == candidate.id:
        return
    if decision == "promote":
        store.promote(candidate.id, expected=received["champion"], reason=reason, verdict=judged["verdict"])
    elif not any(e.version == candidate.id and e.kind == decision for e in store.log()):
        store.note(decision, candidate.id, reason=reason, payload={"verdict": judged["verdict"]})
    failpoint("after-decision")


def _compare(
    context: Context,
    old: Tensor,
    new: Tensor,
    groups: list[str] | None,
    slices: dict[str, list[int]],
    digest: str,
) -> Verdict:
    settings = context.settings.gate
    looks = [
        note for key, note in context.store.records("look") if note["gate"] == digest and key != context.key
    ]
    options: dict[str, Any] = {
        "slices": slices or None,
        "groups": groups,
        "margin": settings.margin,
        "alpha": settings.alpha,
        "slice_margin": settings.slice_margin,
        "require": settings.require,
        "look": len(looks) + 1,
        "max_looks": settings.max_looks,
    }
    context.store.record("look", context.key, {"gate": digest, "number": len(looks) + 1})
    if context.task.binary:
        return gate.compare(old.numpy() > 0.5, new.numpy() > 0.5, **options)
    return gate.compare_scores(old.numpy(), new.numpy(), **options)


def _scores(context: Context, version: Version, examples: Any) -> Tensor:
    model = version.load(context.task).to(context.engine.device)
    return score(context.task, model, examples).cpu().to(torch.float64)


def _groups(task: Task, rows: Rows, index: np.ndarray[Any, Any]) -> list[str] | None:
    if task.group:
        names = group_names(rows.column(task.group))
        return [names[row] for row in index]
    # Several examples of one row (windows of a text) belong together.
    return [str(number) for number in index] if len(index) > len(rows) else None


def _slices(task: Task, rows: Rows, index: np.ndarray[Any, Any]) -> dict[str, list[int]]:
    slices: dict[str, list[int]] = {}
    for name in task.slices:
        for place, value in enumerate(rows.column(name)[index]):
            slices.setdefault(f"{name}={value}", []).append(place)
    return slices


def _preview(rows: Rows, index: np.ndarray[Any, Any], places: list[int]) -> list[dict[str, Any]]:
    shown = []
    for place in places[:_SHOWN]:
        row = int(index[place])
        preview = {name: _short(values[row]) for name, values in list(rows.columns.items())[:12]}
        shown.append({"row": row + 1, "preview": preview})
    return shown


def _short(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, np.ndarray):
        return f"array {list(value.shape)}"
    if isinstance(value, str):
        return value if len(value) <= 80 else value[:79] + "…"
    return value.item() if hasattr(value, "item") else value


def _undecided(task: Task) -> dict[str, Any]:
    reason = "there is no gate item to judge by: hand in more rows, a larger gate share, or a gate set"
    return {
        "decision": "hold",
        "verdict": Verdict.without_items(reason).to_dict(),
        "regressed": [],
        "candidate_score": None,
        "baseline_score": None,
        "champion_score": None,
        "gate_items": 0,
        "gate_digest": fingerprint(task.describe()),
    }
