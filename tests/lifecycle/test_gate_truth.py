"""The gate against truths found another way, and what each of its rules is worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from headstart.lifecycle import gate

Z = float(stats.norm.isf(0.05))


def paired(b: int, c: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n items: first the b gained, then the c lost, then the rest, right both times."""
    item = np.arange(n)
    return item >= b, (item < b) | (item >= b + c)


# ---- numbers ---------------------------------------------------------------------------------------


def score_bound(b: int, c: int, n: int) -> float:
    """Tango's lower bound from its definition: the likelihood is maximized by search, the root too."""

    def statistic(delta: float) -> float:
        def unlikely(lost: float) -> float:
            chances = (lost + delta, lost, 1 - delta - 2 * lost)
            return -sum(k * math.log(max(p, 1e-300)) for k, p in zip((b, c, n - b - c), chances, strict=True))

        least, most = max(0.0, -delta), (1 - delta) / 2
        inside = optimize.minimize_scalar(
            unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-13}
        ).x
        lost = min((inside, least, most), key=unlikely)
        return float((b - c - n * delta) / math.sqrt(n * (2 * lost + delta - delta * delta)) - Z)

    return float(optimize.brentq(statistic, -1 + 1e-7, (b - c) / n - 1e-7, xtol=1e-12))


@pytest.mark.parametrize(
    ("b", "c", "n"), [(12, 3, 100), (0, 0, 40), (7, 0, 7), (0, 3, 30), (3, 8, 11), (1, 0, 1), (25, 20, 900)]
)
def test_the_bounds_are_tangos_by_definition(b: int, c: int, n: int) -> None:
    overall = gate.compare(*paired(b, c, n)).overall
    assert overall.lower == pytest.approx(score_bound(b, c, n), abs=1e-5)
    mirrored = gate.compare(*paired(c, b, n)).overall
    assert mirrored.upper == pytest.approx(-score_bound(b, c, n), abs=1e-5)
    assert overall.upper - overall.lower > 0.001


@pytest.mark.parametrize(("b", "c", "n"), [(1, 0, 1), (0, 1, 1), (500, 0, 500), (0, 500, 500)])
def test_extreme_tables_stay_finite(b: int, c: int, n: int) -> None:
    overall = gate.compare(*paired(b, c, n)).overall
    assert -1 <= overall.lower < overall.upper <= 1
    assert overall.p_value == (0.5**b if b else 1.0)


def test_a_million_items() -> None:
    overall = gate.compare(*paired(50_500, 50_000, 1_000_000)).overall
    assert overall.p_value == pytest.approx(stats.binom.sf(50_499, 100_500, 0.5), rel=1e-6)
    error = math.sqrt(0.1005 - 0.0005**2) / 1000  # so many items leave Wald's interval
    assert (overall.lower, overall.upper) == pytest.approx((0.0005 - Z * error, 0.0005 + Z * error), abs=1e-7)
    scores = np.random.default_rng(0).standard_t(2.5, 100_000)
    judged = gate.compare_scores(np.zeros(100_000), scores).overall
    truth = stats.ttest_1samp(scores, 0, alternative="greater")
    assert judged.p_value == pytest.approx(truth.pvalue, abs=0.02)
    assert judged.lower == pytest.approx(truth.confidence_interval(0.95).low, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_repeats_within_groups_never_move_the_bounds(seed: int) -> None:
    random = np.random.default_rng(seed)
    old, new, groups = random.random(200) < 0.7, random.random(200) < 0.75, random.integers(0, 60, 200)
    once = gate.compare(old, new, groups=groups).overall
    tiled = gate.compare(*(np.tile(part, 3) for part in (old, new)), groups=np.tile(groups, 3)).overall
    assert (tiled.lower, tiled.upper) == pytest.approx((once.lower, once.upper), rel=1e-9)


@pytest.mark.parametrize("count", [7, 90])
def test_exchanging_the_models_mirrors_the_bounds_by_groups(count: int) -> None:
    random = np.random.default_rng(count)
    old, new, groups = random.normal(size=300), random.normal(size=300), random.integers(0, count, 300)
    there, back = (gate.compare_scores(*pair, groups=groups).overall for pair in ((old, new), (new, old)))
    assert (there.lower, there.upper) == pytest.approx((-back.upper, -back.lower), rel=1e-9)
    assert (there.p_value, there.p_worse) == pytest.approx((back.p_worse, back.p_value), abs=0.015)


@pytest.mark.parametrize("size", [1, 10])
def test_rare_losses_in_groups_keep_the_error_rate_of_no_worse(size: int) -> None:
    """60 groups that win or lose as a whole; the truth is a loss of exactly the margin."""
    random, rounds, codes = np.random.default_rng(size), 250, np.arange(60 * size) // size
    right = np.ones(60 * size, dtype=bool)
    passed = 0
    for _ in range(rounds):
        new = random.random(60)[codes] >= 0.06
        judged = gate.compare(right, new, groups=codes, margin=0.06, require="non-inferiority")
        passed += judged.decision == "promote"
    assert passed <= stats.binom.ppf(0.9999, rounds, 0.05)


@pytest.mark.parametrize("groups", [5, 12])
def test_few_groups_of_heavy_tailed_scores_are_promoted_at_most_at_alpha(groups: int) -> None:
    random, rounds, codes = np.random.default_rng(groups), 200, np.arange(groups * 4) // 4
    promoted = 0
    for _ in range(rounds):
        change = random.standard_t(2, groups)[codes] + random.standard_t(2, groups * 4)
        promoted += gate.compare_scores(np.zeros(len(codes)), change, groups=codes).decision == "promote"
    assert promoted <= stats.binom.ppf(0.9999, rounds, 0.05)


# ---- harm must be proven --------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "decision"), [(3, "hold"), (4, "hold"), (5, "reject")])
def test_harm_needs_the_exact_test_too(lost: int, decision: str) -> None:
    """All of three items lost is a chance of 1 in 8, whatever the approximate bound says."""
    verdict = gate.compare(*paired(0, lost, lost))
    assert verdict.overall.upper < 0 or lost < 3
    assert verdict.overall.p_worse == 0.5**lost
    assert verdict.decision == decision
    assert gate.compare(*paired(0, lost, lost), groups=range(lost)).decision == decision


def test_no_worse_rejects_only_beyond_the_margin() -> None:
    small_loss = paired(300, 400, 100_000)  # 0.1 points lost, beyond doubt
    assert gate.compare(*small_loss).decision == "reject"
    assert gate.compare(*small_loss, require="non-inferiority").decision == "promote"
    assert gate.compare(*paired(0, 4000, 100_000), require="non-inferiority").decision == "reject"


def test_harm_to_one_of_many_slices_is_corrected_for_their_number() -> None:
    old, new = paired(100, 0, 2000)
    new = new.copy()
    new[1000:1006] = False  # six of six lost: p = 1/64 for one slice, too much for forty
    slices: dict[str, Any] = {"part": range(1000, 1006)}
    one = gate.compare(old, new, {k: list(v) for k, v in slices.items()})
    assert one.decision == "reject"
    slices |= {f"other {k}": range(20 * k, 20 * k + 20) for k in range(40)}
    many = gate.compare(old, new, {k: list(v) for k, v in slices.items()})
    assert many.decision == "hold"
    assert many.slices[0].decision == "fail"


# ---- error rates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [50, 300, 2000])
@pytest.mark.parametrize("discordance", [0.04, 0.3])
def test_no_better_in_many_shapes_is_promoted_at_most_at_alpha(n: int, discordance: float) -> None:
    random, rounds, half = np.random.default_rng(n), 120, discordance / 2
    slices, codes, promoted = (np.arange(n) % 3).tolist(), (np.arange(n) // 5).tolist(), 0
    for k in range(rounds):
        kind = random.choice(3, n, p=[half, half, 1 - discordance])
        groups = codes if n == 50 and k % 2 else None
        promoted += gate.compare(kind != 0, kind != 1, slices, groups).decision == "promote"
    assert promoted <= stats.binom.ppf(0.9999, rounds, 0.05)


@pytest.mark.parametrize("options", [{"look": True}, {"max_looks": True}, {"margin": False}, {"alpha": True}])
def test_a_truth_value_is_no_number(options: dict[str, Any]) -> None:
    with pytest.raises(gate.InputError) as caught:
        gate.compare([True], [True], **options)
    assert all(caught.value.to_dict().values())
    assert gate.compare([True], [True], look=np.int64(1), margin=np.float32(0.5)).decision == "hold"
