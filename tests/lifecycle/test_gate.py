"""The gate's rules, one by one, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headstart.errors import InputError
from headstart.lifecycle import gate
from headstart.lifecycle.statistics import normal_quantile, tango_bound

Pair = tuple[list[bool], list[bool]]


def paired(b: int, c: int, n: int) -> Pair:
    """n items: first the b gained, then the c lost, then the rest, right both times."""
    return [False] * b + [True] * (n - b), [True] * b + [False] * c + [True] * (n - b - c)


def test_the_table_holds_the_exact_numbers() -> None:
    verdict = gate.compare(*paired(30, 12, 400)).to_dict()
    overall = verdict["overall"]
    assert (overall["n"], overall["b"], overall["c"], overall["d"]) == (400, 30, 12, 18 / 400)
    assert overall["p_value"] == pytest.approx(stats.binomtest(30, 42, alternative="greater").pvalue)
    z = normal_quantile(0.95)
    assert overall["lower"] == pytest.approx(tango_bound(30, 12, 400, z, upper=False))
    assert overall["upper"] == pytest.approx(tango_bound(30, 12, 400, z, upper=True))
    assert overall["margin"] == 0.01
    assert verdict["regressed"] == list(range(30, 42))
    assert verdict["decision"] == "promote"
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict


def test_the_default_margin_of_a_slice_is_five_points_or_the_overall_margin() -> None:
    old, new = paired(30, 0, 400)
    labels = ["x"] * 400
    assert gate.compare(old, new, labels).to_dict()["slices"][0]["margin"] == 0.05
    assert gate.compare(old, new, labels, margin=0.2).to_dict()["slices"][0]["margin"] == 0.2
    assert gate.compare(old, new, labels, slice_margin=0.01).to_dict()["slices"][0]["margin"] == 0.01


# ---- each rule alone decides one of these -------------------------------------------------------


def test_identical_models_are_never_promoted() -> None:
    right = [True] * 5000 + [False] * 5000
    verdict = gate.compare(right, right)
    assert (verdict.decision, verdict.overall.p_value, verdict.overall.b, verdict.overall.c) == (
        "hold",
        1.0,
        0,
        0,
    )
    scores = np.random.default_rng(0).normal(size=200)
    same = gate.compare_scores(scores, scores)
    assert (same.decision, same.overall.p_value) == ("hold", 1.0)


@pytest.mark.parametrize(
    ("b", "c", "decision"), [(5, 0, "promote"), (4, 0, "hold"), (9, 2, "promote"), (8, 2, "hold")]
)
def test_improvement_needs_the_exact_test_at_alpha(b: int, c: int, decision: str) -> None:
    """P(Bin(5) >= 5) = 0.031, P(Bin(4) >= 4) = 0.0625, P(Bin(11) >= 9) = 0.033, P(Bin(10) >= 8) = 0.055."""
    assert gate.compare(*paired(b, c, 1000)).decision == decision


@pytest.mark.parametrize(("n", "decision"), [(100, "hold"), (600, "promote")])
def test_no_worse_overall_needs_the_lower_bound_above_the_margin(n: int, decision: str) -> None:
    """Nothing lost and nothing won: n must be above z^2 (1 - margin) / margin = 268."""
    right = [True] * n
    assert gate.compare(right, right, require="non-inferiority").decision == decision
    assert gate.compare(right, right).decision == "hold"


def test_proven_harm_overall_is_rejected() -> None:
    assert gate.compare(*paired(3, 40, 400)).decision == "reject"
    assert gate.compare(*paired(30, 40, 400)).decision == "hold"


def with_slice(b: int, c: int, n: int) -> tuple[list[bool], list[bool], dict[str, list[int]]]:
    """500 items with 60 gained and nothing lost, then a slice of n items."""
    old, new = paired(60, 0, 500)
    part = paired(b, c, n)
    return old + part[0], new + part[1], {"part": list(range(500, 500 + n))}


@pytest.mark.parametrize(
    ("b", "c", "n", "decision"),
    [
        (0, 40, 200, "reject"),  # at least 15 points lost
        (2, 10, 200, "hold"),  # 4 points lost: more than 5 is not ruled out
        (10, 10, 1000, "promote"),  # ruled out
        (3, 3, 20, "hold"),  # too small to decide
        (2, 2, 20, "promote"),  # too small, but next to nothing was lost and as much won
        (1, 2, 20, "hold"),  # more lost than won
    ],
)
def test_every_slice_must_be_no_worse(b: int, c: int, n: int, decision: str) -> None:
    old, new, slices = with_slice(b, c, n)
    assert gate.compare(old, new).decision == "promote"
    assert gate.compare(old, new, slices).decision == decision


def test_a_slice_too_small_to_decide_is_inconclusive_never_a_pass() -> None:
    old, new, slices = with_slice(2, 2, 20)
    verdict = gate.compare(old, new, slices)
    assert verdict.slices[0].decision == "inconclusive"
    assert "too few items" in verdict.reasons[-1]


def test_a_large_loss_on_few_items_of_a_slice_is_not_tolerated() -> None:
    difference = np.array([0.01] * 500 + [0.1] * 18 + [-50.0, -50.0])
    slices = {"part": list(range(500, 520))}
    verdict = gate.compare_scores(
        np.zeros(520), difference, slices, margin=10, slice_margin=1, require="non-inferiority"
    )
    assert verdict.decision == "hold"


def test_items_of_a_group_are_one_piece_of_evidence() -> None:
    old, new = paired(40, 0, 200)
    groups = [item // 20 for item in range(200)]  # the 40 gains fill two groups of ten
    assert gate.compare(old, new).decision == "promote"
    verdict = gate.compare(old, new, groups=groups)
    assert verdict.decision == "hold"
    assert verdict.overall.p_value == 0.25  # two groups: one of four sign patterns
    scattered = [item % 10 for item in range(200)]
    assert gate.compare(old, new, groups=scattered).decision == "promote"


def test_groups_only_ever_add_doubt() -> None:
    old, new = paired(40, 15, 300)
    alone, grouped = gate.compare(old, new).overall, gate.compare(old, new, groups=range(300)).overall
    assert grouped.p_value >= alone.p_value
    assert grouped.lower <= alone.lower
    assert grouped.upper >= alone.upper


def test_a_single_group_decides_nothing() -> None:
    verdict = gate.compare(*paired(50, 0, 200), groups=["one"] * 200)
    assert verdict.decision == "hold"
    assert verdict.to_dict()["overall"]["lower"] is None


def test_repeated_looks_spend_alpha() -> None:
    pair = paired(5, 0, 1000)  # p = 0.031
    assert gate.compare(*pair, max_looks=1).decision == "promote"
    assert gate.compare(*pair, max_looks=2).decision == "hold"
    clear = paired(50, 0, 1000)
    assert gate.compare(*clear, look=2, max_looks=2).decision == "promote"
    assert gate.compare(*clear, look=3, max_looks=2).decision == "hold"


def test_scores_need_the_sign_flip_test_and_the_bound() -> None:
    difference = np.random.default_rng(4).normal(0.1, 1, 400)
    old = np.random.default_rng(5).normal(size=400)
    verdict = gate.compare_scores(old, old + difference, margin=0.5)
    expected = stats.ttest_1samp(difference, 0, alternative="greater").pvalue
    assert verdict.overall.p_value == pytest.approx(expected, abs=0.01)
    assert verdict.overall.d == pytest.approx(difference.mean())
    assert verdict.decision == ("promote" if expected < 0.05 else "hold")
    assert gate.compare_scores(old, old + difference - 1).decision == "reject"
    # All 13 sign patterns but one are below, yet one item carries nearly all of the gain.
    lopsided = np.array([100.0] + [1e-3] * 12)
    doubtful = gate.compare_scores(np.zeros(13), lopsided, margin=1000.0)
    assert doubtful.overall.p_value < 0.05
    assert doubtful.decision == "hold"


def test_a_hold_says_how_many_items_would_decide() -> None:
    old, new = paired(24, 16, 400)
    needed = gate.needed_items(0.1, 0.02)
    reasons = gate.compare(old, new).reasons
    assert f"about {needed} items would decide" in reasons[0]
    # (1.645 + 0.842)^2 * 0.1 / 0.02^2
    assert needed == pytest.approx(6.1826 * 0.1 / 0.0004, abs=1)


def test_the_needed_items_give_the_power_promised() -> None:
    """n items with discordance 10 % and a true gain of 3 points: proven in about 80 % of cases."""
    n = gate.needed_items(0.10, 0.03)
    random, rounds = np.random.default_rng(8), 300
    counts = random.multinomial(n, [0.065, 0.035, 0.9], size=rounds)
    promoted = sum(gate.compare(*paired(int(b), int(c), n)).decision == "promote" for b, c, _ in counts)
    assert 0.7 < promoted / rounds < 0.9


# ---- the first version ---------------------------------------------------------------------------


def test_the_first_version_must_beat_the_trivial_predictor() -> None:
    assert gate.first([1, 1, 1, 0], [1, 0, 0, 0]).decision == "promote"
    assert gate.first([1, 0], [1, 0]).decision == "hold"
    worse = gate.first([0, 0, 1], [1, 1, 0])
    assert (worse.decision, worse.regressed) == ("hold", (0, 1))
    assert gate.first([0.5], [0.1]).decision == "promote"


# ---- invariants ------------------------------------------------------------------------------------

items = st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("ab")), min_size=1, max_size=60)


@given(items)
def test_swapping_the_two_negates_the_evidence(values: list[tuple[bool, bool, str]]) -> None:
    old, new, _ = (list(part) for part in zip(*values, strict=True))
    there, back = gate.compare(old, new).overall, gate.compare(new, old).overall
    assert (there.b, there.c, there.d) == (back.c, back.b, -back.d)
    assert (there.lower, there.upper) == (-back.upper, -back.lower)


@given(items, st.randoms(use_true_random=False))
def test_the_order_of_the_items_changes_nothing(values: list[tuple[bool, bool, str]], random: Any) -> None:
    def judged(rows: list[tuple[bool, bool, str]]) -> tuple[Any, ...]:
        old, new, label = (list(part) for part in zip(*rows, strict=True))
        verdict = gate.compare(old, new, label)
        return verdict.decision, verdict.overall, sorted(verdict.slices, key=lambda t: t.name)

    shuffled = list(values)
    random.shuffle(shuffled)
    assert judged(values) == judged(shuffled)


def test_repeating_every_item_within_its_group_changes_nothing_about_the_groups() -> None:
    random = np.random.default_rng(6)
    old, new, groups = random.random(240) < 0.7, random.random(240) < 0.8, np.arange(240) // 6
    old_scores, new_scores = random.normal(size=240), random.normal(0.2, 1, size=240)
    order = random.permutation(480)
    twice = [np.tile(part, 2)[order] for part in (old_scores, new_scores, groups)]
    once = gate.compare_scores(old_scores, new_scores, groups=groups)
    again = gate.compare_scores(twice[0], twice[1], groups=twice[2])
    assert (again.overall.lower, again.overall.upper) == pytest.approx(
        (once.overall.lower, once.overall.upper)
    )
    assert again.overall.p_value == once.overall.p_value
    repeated = gate.compare(np.tile(old, 2), np.tile(new, 2), groups=np.tile(groups, 2)).overall
    single = gate.compare(old, new, groups=groups).overall
    assert repeated.lower == pytest.approx(single.lower)  # with so shared a fate the groups bind, not Tango


def test_the_same_input_gives_the_same_verdict() -> None:
    random = np.random.default_rng(7)
    old, new, groups = random.normal(size=300), random.normal(size=300), random.integers(0, 40, 300)
    assert gate.compare_scores(old, new, groups=groups) == gate.compare_scores(old, new, groups=groups)


def test_every_kind_of_input_means_the_same() -> None:
    old, new = paired(20, 4, 120)
    labels = ["x" if item % 2 else "y" for item in range(120)]
    expected = gate.compare(old, new, labels, groups=labels)
    forms: list[Callable[[list[bool]], Any]] = [np.array, torch.tensor, tuple, lambda v: [int(x) for x in v]]
    for form in forms:
        assert gate.compare(form(old), form(new), labels, groups=np.array(labels)) == expected
    odd = [label == "x" for label in labels]
    members = {"y": [item for item in range(120) if item % 2 == 0], "x": torch.tensor(odd)}
    assert gate.compare(old, new, members, groups=labels) == expected
    assert gate.compare(old, new, np.array(labels), groups=labels) == expected


# ---- wrong input ---------------------------------------------------------------------------------

ok = [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([], []), {}),
        ((ok, ok[:2]), {}),
        ((ok, [1.0, 0.0, float("nan")]), {}),
        ((ok, [1, 0, 2]), {}),
        ((ok, ["a", "b", "c"]), {}),
        (([ok], [ok]), {}),
        ((ok, None), {}),
        ((ok, ok), {"margin": 1.0}),
        ((ok, ok), {"margin": -0.1}),
        ((ok, ok), {"margin": float("nan")}),
        ((ok, ok), {"margin": "0.1"}),
        ((ok, ok), {"slice_margin": 1}),
        ((ok, ok), {"alpha": 0.0}),
        ((ok, ok), {"alpha": 0.6}),
        ((ok, ok), {"alpha": True}),
        ((ok, ok), {"require": "luck"}),
        ((ok, ok), {"look": 0}),
        ((ok, ok), {"max_looks": 1.5}),
        ((ok, ok), {"groups": ["a", "b"]}),
        ((ok, ok), {"groups": ["a", None, "b"]}),
        ((ok, ok), {"groups": [1.0, float("nan"), 2.0]}),
        ((ok, ok), {"groups": [["a"], ["a"], ["b"]]}),
        ((ok, ok), {"slices": ["a", "b"]}),
        ((ok, ok), {"slices": {"part": [0, 3]}}),
        ((ok, ok), {"slices": {"part": [-1]}}),
        ((ok, ok), {"slices": {"part": []}}),
        ((ok, ok), {"slices": {"part": [True, False]}}),
        ((ok, ok), {"slices": {"part": [False, False, False]}}),
        ((ok, ok), {"slices": {"part": [0, 1, 1]}}),  # a mask that was not made of booleans
        ((ok, ok), {"slices": {"part": [0.0, 1.0]}}),
        ((ok, ok), {"slices": {"part": [[0, 1]]}}),
    ],
)
def test_wrong_input_is_refused_with_all_four_parts(
    arguments: tuple[Any, Any], options: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as caught:
        gate.compare(*arguments, **options)
    assert all(caught.value.to_dict().values())


def test_scores_must_be_finite_but_margins_have_their_own_units() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="item 1"):
            gate.compare_scores([0.0, 0.0], [1.0, bad])
    with pytest.raises(InputError):
        gate.first([1.0], [1.0, 2.0])
    assert gate.compare_scores([0.0] * 9, [1.0] * 9, margin=5.0).decision == "promote"


@pytest.mark.parametrize("arguments", [(0.0, 0.1), (0.1, 0.0), (0.1, float("nan")), ("0.1", 0.1)])
def test_needed_items_refuses_what_makes_no_sense(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(InputError):
        gate.needed_items(*arguments)
