"""The gate at the exact edge of each rule, with tables made by hand."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.lifecycle import gate
from headstart.lifecycle.slices import binary, by_group, finite, group_codes, slice_members
from headstart.lifecycle.statistics import bootstrap_bounds, group_variance, normal_quantile, tango_bound
from headstart.lifecycle.verdict import Table

DEFAULTS = {
    "margin": 0.01,
    "slice_margin": 0.05,
    "alpha": 0.05,
    "alpha_spent": 0.05,
    "require": "improvement",
    "look": 1,
    "max_looks": 1,
}


def table(**changed: Any) -> Table:
    """Proven better, unless changed."""
    values = {
        "name": "x", "n": 100, "b": 10, "c": 5, "d": 0.05, "p_value": 0.01, "p_worse": 0.99, "lower": 0.02,
        "upper": 0.2, "margin": 0.01, "variance": 0.15, "decision": "pass",
    }  # fmt: skip
    return Table(**{**values, **changed})


def rule(overall: Table, *slices: Table, **settings: Any) -> tuple[str, list[str]]:
    return gate._rule(overall, list(slices), {**DEFAULTS, **settings})


# ---- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", [gate.compare, gate.compare_scores])
def test_what_is_not_said_is_the_default(judge: Any) -> None:
    assert judge([0, 1], [1, 1]).settings == DEFAULTS
    options = {"margin": 0.5, "slice_margin": 0, "alpha": 0.5, "require": "non-inferiority"}
    said = judge([0, 1], [1, 1], **options, look=np.int64(2), max_looks=np.int64(4)).settings
    assert said == {**options, "alpha_spent": 0.125, "look": 2, "max_looks": 4}
    assert judge([0, 1], [1, 1], margin=0).settings["margin"] == 0.0


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"margin": -0.001}, "margin"),
        ({"margin": math.inf}, "margin"),
        ({"margin": False}, "margin"),
        ({"slice_margin": -0.001}, "slice_margin"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": 0.5001}, "alpha"),
        ({"alpha": "0.1"}, "alpha"),
        ({"look": 0}, "look, max_looks"),
        ({"look": 1.0}, "look, max_looks"),
        ({"max_looks": 0}, "look, max_looks"),
        ({"max_looks": True}, "look, max_looks"),
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, Any], where: str) -> None:
    for judge in (gate.compare, gate.compare_scores):
        with pytest.raises(InputError) as caught:
            judge([0, 1], [1, 1], **wrong)
        assert caught.value.where == where


def test_values_that_are_wrong_are_named() -> None:
    calls = {
        "old_correct, item 1": (gate.compare, [1, 2], [1, 1]),
        "new_correct, item 0": (gate.compare, [1, 1], [3, 1]),
        "old_scores, item 1": (gate.compare_scores, [1, math.nan], [1, 1]),
        "new_scores, item 0": (gate.compare_scores, [1, 1], [math.inf, 1]),
    }
    for where, (judge, old, new) in calls.items():
        with pytest.raises(InputError) as caught:
            judge(old, new)
        assert caught.value.where == where
    with pytest.raises(InputError, match=r"margin.*\[0, 1\)"):
        gate.compare([1], [1], margin=1.0)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 0), (0, math.inf), (1, 0), (1, math.inf), ("alpha", 0), ("alpha", 1), ("power", 0), ("power", 1)],
)
def test_needed_items_names_what_is_out_of_range(place: Any, value: float) -> None:
    arguments, options = [0.1, 0.1], {}
    if isinstance(place, int):
        arguments[place] = value
    else:
        options[place] = value
    with pytest.raises(InputError) as caught:
        gate.needed_items(*arguments, **options)
    assert caught.value.where == (place if isinstance(place, str) else ("discordance", "margin")[place])


def test_needed_items_is_its_formula() -> None:
    for psi, margin, alpha, power in ((0.1, 0.02, 0.05, 0.8), (3.0, 1.5, 0.01, 0.9)):
        z = normal_quantile(1 - alpha) + normal_quantile(power)
        wanted = math.ceil(z * z * psi / margin**2)
        assert gate.needed_items(psi, margin, alpha=alpha, power=power) == wanted
    assert gate.needed_items(0.1, 0.02) == gate.needed_items(0.1, 0.02, alpha=0.05, power=0.8)


# ---- one table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper", "p_worse", "decision"),
    [
        (-0.0099, 0.1, 1.0, "pass"),
        (-0.01, 0.1, 1.0, "inconclusive"),
        (-0.5, -0.0101, 0.05, "fail"),
        (-0.5, -0.01, 0.05, "inconclusive"),
        (-0.5, -0.0101, 0.0501, "inconclusive"),
        (-0.5, 0.005, 0.05, "inconclusive"),
    ],
)
def test_a_table_passes_above_its_margin_and_fails_below(
    lower: float, upper: float, p_worse: float, decision: str
) -> None:
    judged = gate._judged(table(lower=lower, upper=upper, p_worse=p_worse, decision="?"), 0.05)
    assert judged == table(lower=lower, upper=upper, p_worse=p_worse, decision=decision)


@pytest.mark.parametrize(
    ("b", "c", "d", "tolerated"),
    [(2, 2, 0.0, True), (3, 2, 0.1, True), (3, 3, 0.0, False), (1, 2, 0.1, False), (2, 2, -0.001, False)],
)
def test_next_to_nothing_lost_is_tolerated(b: int, c: int, d: float, tolerated: bool) -> None:
    assert gate._tolerated(table(b=b, c=c, d=d)) is tolerated


def test_the_hint_is_given_where_it_means_something() -> None:
    assert gate._hint(table(), 0.05, 0.05) == f"; about {gate.needed_items(0.15, 0.05)} items would decide"
    assert gate._hint(table(variance=0.5), 0.5, 0.05) == "; about 13 items would decide"
    for changed, effect in (({}, 0.0), ({}, -0.1), ({"variance": 0.0}, 0.1), ({"variance": math.inf}, 0.1)):
        assert gate._hint(table(**changed), effect, 0.05) == ""


# ---- the decision ------------------------------------------------------------------------------------


def test_improvement_is_proven_at_alpha_exactly_and_above_0() -> None:
    assert rule(table(p_value=0.05)) == (
        "promote",
        ["proven better: p = 0.05, the difference is at least +0.0200"],
    )
    late = table(p_value=0.0501)
    hint = f"; about {gate.needed_items(0.15, 0.05)} items would decide"
    assert rule(late) == ("hold", [f"no proof of improvement: p = 0.0501, needed 0.05{hint}"])
    doubtful = rule(table(p_value=0.05, lower=0.0))
    words = "no proof of improvement: the difference may be as low as +0.0000"
    assert doubtful == ("hold", [words + hint])
    half = {"alpha_spent": 0.025, "max_looks": 2}
    assert rule(table(p_value=0.025), **half)[0] == "promote"
    assert rule(table(p_value=0.026), **half)[0] == "hold"


def test_no_worse_is_enough_where_that_is_asked() -> None:
    same = table(p_value=0.5, lower=-0.005, d=0.0)
    reason = "proven no worse, the difference is at least -0.0050"
    assert rule(same, require="non-inferiority") == ("promote", [reason])
    assert rule(same)[0] == "hold"
    better = rule(table(), require="non-inferiority")[1]
    assert better == ["proven better: p = 0.01, the difference is at least +0.0200"]


def test_harm_overall_is_proven_at_alpha_exactly_and_below_what_is_allowed() -> None:
    def harmed(upper: float, p_worse: float, **settings: Any) -> str:
        overall = table(lower=-0.5, upper=upper, p_worse=p_worse, p_value=1.0, decision="inconclusive")
        return rule(overall, **settings)[0]

    assert harmed(-0.001, 0.05) == "reject"
    assert harmed(-0.001, 0.0501) == "hold"
    assert harmed(0.0, 0.05) == "hold"
    assert harmed(-0.001, 0.05, require="non-inferiority") == "hold"
    assert harmed(-0.01, 0.05, require="non-inferiority") == "hold"
    assert harmed(-0.0101, 0.05, require="non-inferiority") == "reject"
    assert harmed(-0.001, 0.05, alpha_spent=0.04) == "hold"
    overall = table(upper=-0.001, p_worse=0.05)
    assert rule(overall)[1] == ["proven worse: the difference is at most -0.0010"]


def test_harm_to_a_slice_is_corrected_for_how_many_there_are() -> None:
    def bad(p: float, decision: str = "fail") -> Table:
        return table(name="s", p_worse=p, upper=-0.1, margin=0.05, decision=decision)

    words = "proven worse on s: the difference is at most -0.1000, beyond the margin of 0.05"
    assert rule(table(), bad(0.05)) == ("reject", [words])
    assert rule(table(), bad(0.0501))[0] == "hold"
    assert rule(table(), bad(0.025), table(p_worse=1.0))[0] == "reject"
    assert rule(table(), bad(0.026), table(p_worse=1.0))[0] == "hold"
    assert rule(table(), bad(0.01, "inconclusive"))[0] == "hold"
    assert rule(table(), bad(0.01, "pass"))[0] == "promote"


def test_every_open_question_is_named() -> None:
    overall = table(decision="inconclusive", p_value=0.5, lower=-0.02)
    part = table(name="part", decision="inconclusive", margin=0.05, lower=-0.1, b=9, c=9)
    decision, reasons = rule(overall, part, table(name="fine"))
    assert decision == "hold" and len(reasons) == 3
    assert reasons[1].startswith(
        "x: a loss of 0.01 is not ruled out (lower bound -0.0200, 100 items); about "
    )
    assert reasons[2].startswith("part: a loss of 0.05 is not ruled out (lower bound -0.1000, 100 items)")
    few = table(name="few", n=4, b=2, c=2, d=0.0, decision="inconclusive")
    assert rule(table(), few, table(name="fine")) == (
        "promote",
        [
            "proven better: p = 0.01, the difference is at least +0.0200; "
            "no slice of 2 lost more than its margin",
            "few: too few items to decide (4), let pass with 2 won and 2 lost",
        ],
    )


def test_beyond_the_last_look_nothing_is_decided() -> None:
    assert rule(table(), look=2, max_looks=2)[0] == "promote"
    decision, reasons = rule(table(), look=3, max_looks=2)
    assert decision == "hold" and reasons == [
        "this gate set has judged 2 candidate(s) already: let it grow first"
    ]


def test_scores_that_are_equal_are_neither_better_nor_worse() -> None:
    verdict = gate.compare_scores([0, 0, 0, 0], [1, 0, -0.5, 0.5])
    assert (verdict.overall.b, verdict.overall.c, verdict.overall.n) == (2, 1, 4)
    assert verdict.regressed == (2,) and verdict.overall.d == 0.25


def test_the_first_version_is_judged_by_two_means() -> None:
    for scores, where in (([math.nan], "candidate_scores, item 0"), ([1.0], "baseline_scores, item 0")):
        with pytest.raises(InputError) as caught:
            gate.first(scores, [math.inf])
        assert caught.value.where == where
    better = gate.first([1, 1, 0], [1, 0, 0])
    assert better.reasons == ("the first version scores 0.6667, the trivial predictor 0.3333",)
    assert (better.overall.decision, better.overall.margin) == ("pass", 0.0)
    same = gate.first([1, 0], [0, 1])
    assert same.reasons == ("the first version scores 0.5, the trivial predictor 0.5: not better",)
    assert (same.decision, same.overall.decision) == ("hold", "inconclusive")


# ---- groups ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sums", "size", "b", "c"),
    [
        ([3, -1, 0, 2, 4, -2, 1, 0, 0, 5], 6, 16, 4),
        ([1] * 12, 10, 12, 0),  # groups all alike: their items count
        ([4] * 8, 4, 32, 0),  # items all alike as well: one for each group
        ([-4] * 8, 4, 0, 32),
        ([2, 1], 5, 4, 1),
        ([3, 3], 5, 6, 0),
        ([1, 2] * 20, 10, 60, 0),  # less apart than chance would have it: worth more than their items
        ([6, 0, 0, 6, 0, 6], 6, 18, 0),
    ],
)
def test_bounds_by_groups_are_never_narrower_than_tangos_for_what_they_are_worth(
    sums: list[int], size: int, b: int, c: int
) -> None:
    found = gate._group_bounds(b, c, np.array(sums, float), np.full(len(sums), float(size)), 0.05)
    n, d = len(sums) * size, (b - c) / (len(sums) * size)
    single, grouped = (b + c) / n - d * d, float(np.var(sums, ddof=1)) / size
    worth = n * single / grouped if grouped else (n if single else len(sums))
    low, high = bootstrap_bounds(np.array(sums, float), np.full(len(sums), float(size)), 0.05)
    z = normal_quantile(0.95)
    tango = [tango_bound(b * worth / n, c * worth / n, worth, z, upper=side) for side in (False, True)]
    assert found == pytest.approx((min(low, tango[0]), max(high, tango[1])), rel=1e-12)
    assert group_variance(np.array(sums, float), np.full(len(sums), float(size))) == pytest.approx(grouped)


def test_one_group_has_no_bounds() -> None:
    assert gate._group_bounds(3, 1, np.array([2.0]), np.array([9.0]), 0.05) == (-math.inf, math.inf)


# ---- what the gate reads -----------------------------------------------------------------------------


def test_values_become_arrays() -> None:
    assert finite([Decimal("0.5"), 2], "x").tolist() == [0.5, 2.0] and finite([1], "x").dtype == float
    assert binary([1, False], "x").dtype == bool
    codes = group_codes(["b", "a", "b", 3], 4)
    assert codes is not None and codes.tolist() == [0, 1, 0, 2] and group_codes(None, 4) is None
    sums, sizes = by_group(np.array([0.5, 1, -2, 4]), np.array([7, 3, 7, 7]))
    assert (sums.tolist(), sizes.tolist(), sizes.dtype) == ([1.0, 2.5], [1.0, 3.0], float)


def test_slices_become_numbers_of_items() -> None:
    assert slice_members(None, 3) == {}
    labels = {name: members.tolist() for name, members in slice_members(np.array(["b", "a", "b"]), 3).items()}
    assert labels == {"b": [0, 2], "a": [1]}
    given = {1: np.array([2, 0], dtype=np.uint8), "all": [True] * 3, "last": [2]}
    found = {name: members.tolist() for name, members in slice_members(given, 3).items()}
    assert found == {"1": [0, 2], "all": [0, 1, 2], "last": [2]}
    for wrong in (2, [3], [-1], [[True, False, True]], [True] * 4, ["0"], [], [1, 1]):
        with pytest.raises(InputError, match="slice x"):
            slice_members({"x": wrong}, 3)
