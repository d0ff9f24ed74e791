"""Known truth, many times over: how often the gate promotes what it must not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from headstart.lifecycle import gate

ALPHA = 0.05
Outcomes = tuple[np.ndarray, np.ndarray]


def most(rounds: int) -> int:
    """A count that a rate of alpha exceeds in one of ten thousand runs; the seeds are fixed anyway."""
    return int(stats.binom.ppf(0.9999, rounds, ALPHA))


def outcomes(random: np.random.Generator, old: np.ndarray, won: float, lost: float) -> np.ndarray:
    """New right or wrong: a wrong item is won and a right one lost with these chances."""
    chance = random.random(len(old))
    return np.where(old, chance >= lost, chance < won)


def promotions(rounds: int, seed: int, trial: Callable[[np.random.Generator], gate.Verdict]) -> int:
    random = np.random.default_rng(seed)
    return sum(trial(random).decision == "promote" for _ in range(rounds))


@pytest.mark.parametrize("n", [60, 400])
def test_a_candidate_no_better_is_promoted_at_most_at_alpha(n: int) -> None:
    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.random(n) < 0.5
        return gate.compare(old, outcomes(random, old, 0.2, 0.2))

    assert 0 < promotions(600, 1, trial) <= most(600)


def test_a_candidate_just_beyond_the_margin_passes_as_no_worse_at_most_at_alpha() -> None:
    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.random(500) < 0.5
        return gate.compare(old, outcomes(random, old, 0.10, 0.16), margin=0.03, require="non-inferiority")

    assert 0 < promotions(600, 2, trial) <= most(600)


def test_a_clearly_worse_candidate_is_never_promoted() -> None:
    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.random(400) < 0.8
        return gate.compare(old, outcomes(random, old, 0.1, 0.1))

    assert promotions(400, 3, trial) == 0


def test_harm_to_a_slice_is_promoted_at_most_at_alpha() -> None:
    """Better overall by far, 10 points worse in one slice of 200 with a margin of 5."""

    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.random(1200) < 0.7
        inside = np.arange(1200) < 200
        new = np.where(inside, outcomes(random, old, 0.0, 0.145), outcomes(random, old, 0.3, 0.02))
        return gate.compare(old, new, {"protected": inside, "rest": ~inside})

    assert promotions(400, 4, trial) <= most(400)


def test_harm_at_the_margin_to_one_of_five_slices_is_promoted_at_most_at_alpha() -> None:
    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.random(1000) < 0.7
        part = np.arange(1000) // 200
        new = np.where(part == 0, outcomes(random, old, 0.1, 0.08 / 0.7), outcomes(random, old, 0.4, 0.02))
        return gate.compare(old, new, part.tolist())

    assert promotions(400, 5, trial) <= most(400)


@pytest.mark.parametrize(("groups", "size"), [(8, 20), (60, 5)])
def test_groups_that_share_their_fate_are_promoted_at_most_at_alpha(groups: int, size: int) -> None:
    """Whole groups change together. Without groups, most of these promotions would be luck."""
    codes = np.arange(groups * size) // size

    def flips(random: np.random.Generator) -> Outcomes:
        fate = random.choice([-1, 0, 1], groups)[codes]
        return fate < 0, fate > 0

    grouped = promotions(150, 6, lambda random: gate.compare(*flips(random), groups=codes))
    blind = promotions(150, 6, lambda random: gate.compare(*flips(random)))
    assert grouped <= most(150)
    assert blind > most(150)


@pytest.mark.parametrize("scale", ["normal", "heavy"])
def test_scores_no_better_are_promoted_at_most_at_alpha(scale: str) -> None:
    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.normal(size=70)
        change = random.normal(size=70) if scale == "normal" else random.standard_t(3, size=70)
        return gate.compare_scores(old, old + change)

    assert promotions(100, 7, trial) <= most(100)


def test_many_candidates_on_one_gate_set_share_one_alpha() -> None:
    """Five looks at candidates no better: at most 5 % of gate sets promote any of them."""

    def promoted(random: np.random.Generator) -> bool:
        old = random.random(300) < 0.5
        looks = (
            gate.compare(old, outcomes(random, old, 0.2, 0.2), look=k, max_looks=5).decision == "promote"
            for k in range(1, 6)
        )
        return any(looks)

    random = np.random.default_rng(8)
    assert sum(promoted(random) for _ in range(200)) <= most(200)


def test_a_gain_of_three_points_is_found_with_two_thousand_items() -> None:
    """The power that the rules leave: at least 80 % of such gains are promoted."""

    def trial(random: np.random.Generator) -> gate.Verdict:
        old = random.random(2000) < 0.8
        return gate.compare(old, outcomes(random, old, 0.31, 0.04), (np.arange(2000) // 1000).tolist())

    assert promotions(100, 9, trial) >= 80
