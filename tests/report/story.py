"""A made-up story of several arrivals, for tests of the report: every field filled, no randomness."""

from __future__ import annotations

import math
from typing import Any

STARTS = ("spectral-temper", "shrink-perturb", "fire", "scratch")
DECISIONS = ("promote", "promote", "hold", "reject", "promote")


def version(index: int) -> str:
    """A version's identifier."""
    return f"{(index * 0x9E3779B97F4A7C15) % 2**64:016x}"


def story(count: int = 5, text: str = "label") -> dict[str, Any]:
    """A story of so many arrivals, with ``text`` wherever a user's text may stand."""
    arrivals, champion, steps = [], None, 0
    for index in range(1, count + 1):
        record = arrival(index, champion, text)
        champion = record["champion_after"]
        steps += record["steps_spent"]
        arrivals.append(record)
    return {
        "format": 1,
        "title": f"Support tickets, sorted by {text}",
        "task": f"text-classification {text}",
        "metric": "accuracy" if text == "label" else f"accuracy {text}",
        "store": f"tickets {text}",
        "arrivals": arrivals,
        "lineage": _lineage(arrivals, text),
        "totals": {"steps_spent": steps, "steps_scratch": sum(a["steps_scratch"] for a in arrivals),
                   "score_final": 0.8 + 0.01 * count, "score_scratch_final": 0.84, "seconds": 61.5},
    }  # fmt: skip


def arrival(index: int, champion: str | None, text: str) -> dict[str, Any]:
    """One arrival's record."""
    decision = "promote" if champion is None else DECISIONS[(index - 1) % 5]
    ours, score = version(index), 0.93 - 0.18 / index - (0.03 if decision == "reject" else 0)
    names = STARTS if champion else ("scratch",)
    entrants = [_entrant(place, name, index, champion, score, text) for place, name in enumerate(names)]
    old = None if champion is None else score - {"promote": 0.031, "hold": 0.004, "reject": -0.036}[decision]
    return {
        "index": index,
        "run": f"{index * 7919:016x}",
        "rows_total": 1200 * index,
        "rows_new": 1200,
        "counts": {"train": 960, "dev": 120, "gate": 120},
        "digest": f"{index:02x}" * 32,
        "findings": _findings(text) if champion else [],
        "shortlist": [
            {"start": name, "settings": {"shrink": 0.4, "note": text} if name == "shrink-perturb" else {},
             "reason": f"won {index - 1} of {index} arrivals so far ({text})"}
            for name in names
        ],
        "entrants": entrants,
        "winner": entrants[0]["label"],
        "decision": decision,
        "reasons": [f"{text}: the difference is at least +0.0121 (p = 0.0042)",
                    "no slice lost beyond its margin"],
        "verdict": _verdict(decision, score - (old if old is not None else 0.25), index, text),
        "regressed": [
            {"row": 17 * item + index, "preview": {text: f"my parcel did not arrive {text}", "words": 12}}
            for item in range(3)
        ],
        "champion_score": old,
        "candidate_score": score,
        "baseline_score": 0.25 + 0.01 * (index % 3),
        "score_interval": [score - 0.021, score + 0.019],
        "gate_items": 120 * index,
        "steps_spent": sum(entrant["steps"] for entrant in entrants),
        "steps_race": sum(entrant["steps"] for entrant in entrants[1:]),
        "steps_scratch": 700 + 260 * index,
        "scratch_measured": index == 1,
        "seconds": 11.25 + index,
        "version": ours,
        "champion_before": champion,
        "champion_after": ours if decision == "promote" else champion,
    }  # fmt: skip


def _entrant(
    place: int, name: str, index: int, champion: str | None, score: float, text: str
) -> dict[str, Any]:
    steps = (420, 120, 60, 60)[place] if champion else 960
    top = score - 0.02 * place
    grid = sorted({min(steps, round(1.6**power)) for power in range(3, 16)})
    begin = 0.3 if name == "scratch" else 0.62
    status = "won" if place == 0 else "diverged" if name == "fire" and index % 4 == 0 else "dropped"
    plan = {
        "start": {"slug": name, "settings": {}},
        "parent": None if name == "scratch" else champion,
        "buffers": "kept" if champion else "reset",
        "optimizer_state": "fresh",
        "schedule": [
            {"name": "warmup", "steps": 20, "start": 0.0, "end": 1e-3, "shape": "linear"},
            {"name": text, "steps": None, "start": 1e-3, "end": 1e-5, "shape": "cosine"},
        ],
        "data": {"new": 960, "replay": 960 * (index - 1), "replay_share": 1 - 1 / index, "order": text},
        "batch_size": 64,
        "masks": [],
        "parameter_groups": {text: "no-decay"},
        "ema": 0.999,
    }
    return {
        "label": f"{name} {text}" if text != "label" else name,
        "start": name,
        "settings": {},
        "plan": plan,
        "status": status,
        "rung": None if place == 0 else 2 - (place + 1) // 2,
        "steps": steps,
        "samples": steps * 64,
        "score": None if status == "diverged" else top,
        "curve": [[s, top - (top - begin) * math.exp(-s / 45) + 0.004 * math.sin(s)] for s in grid],
        "train_curve": [[s, 0.1 + 1.3 * math.exp(-s / 90) + 0.03 * math.sin(3 * s), _rate(s, steps)]
                        for s in range(1, steps + 1, max(1, steps // 60))],
        "ended": "patience ran out",
    }  # fmt: skip


def _rate(step: int, steps: int) -> float:
    return 1e-3 * min(step / 20, 0.5 + 0.5 * math.cos(math.pi * step / steps))


def _findings(text: str) -> list[dict[str, Any]]:
    rows = [
        ("novelty", 0.97, None, None, None, "info", "931 of 960 training rows are new.", ""),
        ("label-shift", 0.21, 0.16, 0.26, 0.0004, "warning", f"The share of class {text} doubled.",
         f"Check where {text} comes from; replay keeps the old mix."),
        ("gradient-ratio", 3.65, 2.9, 4.4, 0.01, "notice", "A new example pulls 3.65 times as hard.",
         "Plain warm starts lose accuracy here; shrinking or tempering balances it."),
        ("dormant-units", 0.008, None, None, None, "info", "0.8% of 128 units are dormant.", ""),
    ]  # fmt: skip
    names = ("name", "value", "lower", "upper", "p_value", "severity", "text", "advice")
    return [{**dict(zip(names, row, strict=True)), "details": {}} for row in rows]


def _verdict(decision: str, gain: float, index: int, text: str) -> dict[str, Any]:
    tables = []
    for place, name in enumerate(("overall", f"language={text}", "channel=mail", "channel=phone")):
        half, mean = 0.02 * (1 + place), gain - 0.006 * place
        outcome = "fail" if decision == "reject" else "inconclusive" if place == 3 else "pass"
        tables.append(
            {"name": name, "n": 120 * index // (1 + place), "b": 9, "c": 2, "d": mean,
             "p_value": 0.004 * (1 + place),
             "lower": mean - half, "upper": mean + half if place < 3 else None,
             "margin": 0.05 if place else 0.01,
             "variance": 0.05, "decision": outcome}
        )  # fmt: skip
    settings = {"alpha": 0.05, "alpha_spent": 0.05, "margin": 0.01, "slice_margin": 0.05, "require": text,
                "look": 1, "max_looks": 1}  # fmt: skip
    return {"decision": decision, "reasons": [text], "overall": tables[0], "slices": tables[1:],
            "regressed": [3], "settings": settings}  # fmt: skip


def _lineage(arrivals: list[dict[str, Any]], text: str) -> dict[str, Any]:
    shipped = arrivals[-1]["champion_after"] if arrivals else None
    nodes = [
        {"id": a["version"], "arrival": a["index"], "start": "spectral-temper" if text == "label" else text,
         "decision": a["decision"], "champion": a["version"] == shipped, "score": a["candidate_score"]}
        for a in arrivals
    ]  # fmt: skip
    edges = [[a["champion_before"], a["version"]] for a in arrivals if a["champion_before"]]
    return {"nodes": nodes, "edges": edges}
