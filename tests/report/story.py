"""A made-up story of several arrivals, for tests of the report."""

from __future__ import annotations

from typing import Any


def arrival(index: int, text: str = "label") -> dict[str, Any]:
    """One arrival's record, with every field filled."""
    plan = {
        "start": {"slug": "warm", "settings": {}},
        "parent": f"{index - 1:016x}" if index > 1 else None,
        "buffers": "kept",
        "optimizer_state": "fresh",
        "schedule": [{"name": "constant", "steps": None, "start": 1e-3, "end": 1e-3, "shape": "constant"}],
        "data": {"new": 100, "replay": 100 * (index - 1), "replay_share": 0.5, "order": "shuffled"},
        "batch_size": 128,
    }
    entrants = [
        {
            "label": f"{name} {text}",
            "start": name,
            "settings": {},
            "plan": plan,
            "status": "won" if number == 0 else "dropped",
            "rung": None if number == 0 else 0,
            "steps": 100 + number,
            "score": 0.8 - 0.1 * number,
            "curve": [[10, 0.5], [100, 0.8 - 0.1 * number]],
            "train_curve": [[10, 1.0, 1e-3], [100, 0.3, 1e-3]],
        }
        for number, name in enumerate(("spectral-temper", "warm", "scratch"))
    ]
    table = {
        "n": 50,
        "b": 9,
        "c": 2,
        "d": 0.14,
        "p_value": 0.03,
        "lower": 0.02,
        "upper": 0.26,
        "margin": 0.01,
    }
    return {
        "index": index,
        "rows_total": 120 * index,
        "rows_new": 120,
        "counts": {"train": 96, "dev": 12, "gate": 12},
        "digest": "ab" * 32,
        "findings": [
            {"name": "label-shift", "value": 0.12, "lower": None, "upper": None, "p_value": 0.004,
             "severity": "warning", "text": f"The {text} moved.", "advice": f"Look at {text}."}
        ],
        "shortlist": [{"start": "warm", "settings": {"a": text}, "reason": f"because of {text}"}],
        "entrants": entrants,
        "winner": entrants[0]["label"],
        "decision": ("promote", "hold", "reject")[index % 3],
        "reasons": [f"reason {text}"],
        "verdict": {
            "decision": "hold", "reasons": [text], "regressed": [3],
            "overall": {"name": "overall", **table, "decision": "pass"},
            "slices": [{"name": f"region={text}", **table, "decision": "inconclusive"}],
        },
        "regressed": [{"row": 4, "preview": {text: text, "x": 1.5}}],
        "champion_score": 0.7 + 0.01 * index,
        "candidate_score": 0.72 + 0.01 * index,
        "baseline_score": 0.2,
        "gate_items": 50,
        "steps_spent": 303,
        "steps_race": 203,
        "steps_scratch": 600,
        "scratch_measured": False,
        "seconds": 1.25,
        "version": f"{index:016x}",
        "champion_after": f"{index:016x}",
    }  # fmt: skip


def story(count: int = 5, text: str = "label") -> dict[str, Any]:
    """A story of so many arrivals, with ``text`` wherever a user's text may stand."""
    arrivals = [arrival(index, text) for index in range(1, count + 1)]
    return {
        "format": 1,
        "title": f"A stream of {text}",
        "task": f"task {text}",
        "metric": f"accuracy {text}",
        "store": f"store {text}",
        "arrivals": arrivals,
        "lineage": {
            "nodes": [
                {"id": a["version"], "arrival": a["index"], "start": f"warm {text}",
                 "decision": a["decision"], "champion": a["index"] == count, "score": 0.8}
                for a in arrivals
            ],
            "edges": [[f"{i:016x}", f"{i + 1:016x}"] for i in range(1, count)],
        },
        "totals": {"steps_spent": 303 * count, "steps_scratch": 600 * count, "score_final": 0.8,
                   "score_scratch_final": None, "seconds": 6.0},
    }  # fmt: skip
