"""The record of a finished update, and the story that all records of a store tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.lifecycle.context import Context
from headstart.lifecycle.data.split import DEV, GATE, TRAIN
from headstart.lifecycle.memory import Pool
from headstart.lifecycle.store import Store, Version

__all__ = ["finished_record", "story"]


def finished_record(
    context: Context,
    pool: Pool,
    candidate: Version,
    received: Mapping[str, Any],
    stages: Mapping[str, Any],
    *,
    seconds: float = 0.0,
) -> dict[str, Any]:
    """Everything the report says about one arrival, as JSON values.

    Args:
        context: of the update.
        pool: all rows that are remembered.
        candidate: the version that came out.
        received: what the run started from.
        stages: results of the stages: ``findings``, ``shortlist``, ``race`` and ``gate``.
        seconds: how long it took.
    """
    raced, judged = stages["race"], stages["gate"]
    index = received["arrival"]
    sides = pool.sides[pool.arrivals == index]
    names = {"train": TRAIN, "dev": DEV, "gate": GATE}
    champion = context.store.champion()
    scratch, measured = _scratch_steps(context.store, raced)
    return {
        "index": index,
        "run": context.key,
        "task": context.task.name,
        "metric": context.task.metric,
        "digest": context.rows.digest(),
        "rows_total": len(pool.rows),
        "rows_new": len(sides),
        "counts": {name: int(np.sum(sides == side)) for name, side in names.items()},
        "findings": list(stages["findings"]),
        "shortlist": list(stages["shortlist"]),
        **raced,
        "parent": received["parent"],
        **judged,
        "reasons": judged["verdict"]["reasons"],
        "steps_scratch": scratch,
        "scratch_measured": measured,
        "seconds": round(seconds, 3),
        "version": candidate.id,
        "champion_before": received["champion"],
        "champion_after": champion.id if champion else None,
    }


def story(store: Store, *, title: str = "") -> dict[str, Any]:
    """All updates of a store in order, its lineage and its totals: what the report shows.

    Args:
        store: where the updates happened.
        title: heading of the report; the task's name if not given.
    """
    arrivals = [record for _, record in store.records("done")]
    champion = store.champion()
    task = arrivals[-1]["task"] if arrivals else ""
    return {
        "format": 1,
        "title": title or f"{task or 'no update yet'}".replace("-", " "),
        "task": task,
        "metric": arrivals[-1]["metric"] if arrivals else "",
        "store": store.root.name,
        "arrivals": arrivals,
        "lineage": _lineage(arrivals, champion.id if champion else None, store),
        "totals": _totals(arrivals),
    }


def _lineage(arrivals: Sequence[Mapping[str, Any]], champion: str | None, store: Store) -> dict[str, Any]:
    by_version = {record["version"]: record for record in arrivals}
    nodes, edges = [], []
    for version in store.versions():
        record = by_version.get(version.id, {})
        won: Mapping[str, Any] = next(
            (e for e in record.get("entrants", []) if e["label"] == record.get("winner")), {}
        )
        nodes.append(
            {
                "id": version.id,
                "arrival": record.get("index"),
                "start": won.get("start", ""),
                "decision": record.get("decision", ""),
                "champion": version.id == champion,
                "score": record.get("candidate_score"),
            }
        )
        edges += [[parent, version.id] for parent in version.parents]
    return {"nodes": nodes, "edges": edges}


def _totals(arrivals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scratch = [record["steps_scratch"] for record in arrivals]
    last = arrivals[-1] if arrivals else {}
    promoted = last.get("decision") == "promote"
    return {
        "steps_spent": sum(record["steps_spent"] for record in arrivals),
        "steps_scratch": sum(scratch) if scratch and None not in scratch else None,
        "score_final": last.get("candidate_score" if promoted else "champion_score"),
        "score_scratch_final": None,
        "seconds": round(sum(record["seconds"] for record in arrivals), 3),
    }


def _scratch_steps(store: Store, raced: Mapping[str, Any]) -> tuple[int | None, bool]:
    """What a run from nothing costs here: measured if one was trained to its end, else scaled by rows.

    Scaling the first arrival's cost by the number of rows assumes the same number of epochs; more data
    mostly need more, so the estimate is on the low side.
    """
    for entrant in raced["entrants"]:
        if entrant["plan"]["parent"] is None and entrant["status"] == "won":
            return entrant["steps"], True
    measured = [
        (entrant["steps"], record["train_rows"])
        for _, record in store.records("done")
        for entrant in record["entrants"]
        if entrant["plan"]["parent"] is None and entrant["status"] == "won"
    ]
    if not measured:
        return None, False
    steps, rows = measured[-1]
    return round(steps * raced["train_rows"] / max(1, rows)), False
