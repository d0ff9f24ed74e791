"""R13: pairs of models whose truth is known are put before the gate, and false promotions are counted.

In every kind of pair the candidate must not be promoted: it is exactly no better, worse by the margin,
better overall at the cost of a protected slice, one of several tries, and so on, each on the border where
errors are most frequent. Then each rule of the gate is made blind in turn: the error rate it kept must break.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.reliability._campaign import Outcome, Setting, Tally
from headstart.lifecycle import gate

FIGURES = ("R13",)
ALPHA = 0.05
Trial = Callable[[np.random.Generator], gate.Verdict]


def no_better(random: np.random.Generator) -> gate.Verdict:
    """As many items gained as lost, in expectation."""
    kind = random.choice(3, 400, p=[0.04, 0.04, 0.92])
    return gate.compare(kind != 0, kind != 1)


def slightly_worse(random: np.random.Generator) -> gate.Verdict:
    """A real regression of one point."""
    kind = random.choice(3, 800, p=[0.03, 0.04, 0.93])
    return gate.compare(kind != 0, kind != 1)


def worse_by_the_margin(random: np.random.Generator) -> gate.Verdict:
    """Exactly the loss that "no worse" may not have."""
    kind = random.choice(3, 400, p=[0.04, 0.08, 0.88])
    return gate.compare(kind != 0, kind != 1, margin=0.04, require="non-inferiority")


def harmed_slice(random: np.random.Generator) -> gate.Verdict:
    """Much better overall, worse than the margin on one protected slice."""
    inside = np.arange(500) < 100
    kind = np.where(
        inside, random.choice(3, 500, p=[0.02, 0.07, 0.91]), random.choice(3, 500, p=[0.2, 0.01, 0.79])
    )
    return gate.compare(kind != 0, kind != 1, {"part": inside})


def eight_looks(random: np.random.Generator) -> gate.Verdict:
    """The luckiest of eight candidates that are no better."""
    looks = []
    for look in range(1, 9):
        kind = random.choice(3, 200, p=[0.1, 0.1, 0.8])
        looks.append(gate.compare(kind != 0, kind != 1, look=look, max_looks=8))
    return min(looks, key=lambda verdict: verdict.overall.p_value)


def whole_groups(random: np.random.Generator) -> gate.Verdict:
    """Items come in groups that win or lose together; counting them one by one would be wrong."""
    codes = np.arange(400) // 8
    kind = random.choice(3, 50, p=[0.15, 0.15, 0.7])[codes]
    return gate.compare(kind != 0, kind != 1, groups=codes)


def heavy_tails(random: np.random.Generator) -> gate.Verdict:
    """Scores that are no right or wrong, with rare large changes."""
    return gate.compare_scores(np.zeros(60), random.standard_t(3, 60))


TRIALS: dict[str, Trial] = {
    "no better": no_better,
    "a point worse": slightly_worse,
    "worse by the margin": worse_by_the_margin,
    "a slice harmed": harmed_slice,
    "the best of eight": eight_looks,
    "no better, in groups": whole_groups,
    "no better, heavy-tailed scores": heavy_tails,
}
# What each rule reads, replaced by what would let everything pass; and the pairs that the rule is there for.
RULES: dict[str, tuple[Trial, dict[str, Any]]] = {
    "improvement": (no_better, {"overall": {"p_value": 0.0, "lower": 1.0}}),
    "margin": (worse_by_the_margin, {"overall": {"decision": "pass"}}),
    "slices": (harmed_slice, {"slices": {"decision": "pass"}}),
    "few losses": (harmed_slice, {"slices": {"c": 0, "d": 0.0}}),
    "looks": (
        eight_looks,
        {"settings": {"alpha_spent": 0.05}, "overall": {"lower": 1.0, "decision": "pass"}},
    ),
}


def run(setting: Setting) -> list[Outcome]:
    """The figure."""
    rounds, tally, counts = setting.size(1000, 200), Tally(), {}
    most = allowed(rounds)
    for name, trial in TRIALS.items():
        setting.say(name)
        promoted = promotions(trial, rounds, setting.seed)
        counts[f"promoted, {name}"] = promoted
        tally.cases[name] += rounds
        if promoted > most:
            tally.broken.append(f"{name}: {promoted} of {rounds} promoted")
    removed = {}
    for rule, (trial, blindness) in RULES.items():
        with blind(blindness):
            removed[rule] = promotions(trial, rounds, setting.seed)
        if removed[rule] <= most:
            tally.broken.append(f"without the rule {rule!r} only {removed[rule]} of {rounds} are promoted")
    return [
        Outcome(
            figure="R13",
            promise="no regression is promoted more often than alpha, and each rule is needed for that",
            cases=tally.total,
            violations=len(tally.broken),
            bar=f"1,000 pairs of each kind: at most {allowed(1000)} promoted (alpha {ALPHA}, binomial, 1e-4)",
            met=not tally.broken and rounds >= 1000,
            counts={**counts, **{f"promoted without the rule {r}": n for r, n in removed.items()}},
            examples=tuple(tally.broken),
        )
    ]


def allowed(rounds: int) -> int:
    """The most promotions that a rate of alpha explains."""
    return int(stats.binom.ppf(1 - 1e-4, rounds, ALPHA))


def promotions(trial: Trial, rounds: int, seed: int) -> int:
    """How many of so many pairs are promoted."""
    random = np.random.default_rng((seed, rounds))
    return sum(trial(random).decision == "promote" for _ in range(rounds))


@contextlib.contextmanager
def blind(change: dict[str, Any]) -> Iterator[None]:
    """The gate with a rule that does not see part of the evidence."""
    rule = gate._rule

    def crooked(overall: Any, slices: list[Any], settings: dict[str, Any]) -> Any:
        overall = dataclasses.replace(overall, **change.get("overall", {}))
        slices = [dataclasses.replace(table, **change.get("slices", {})) for table in slices]
        return rule(overall, slices, settings | change.get("settings", {}))

    gate._rule = crooked
    try:
        yield
    finally:
        gate._rule = rule
