"""The gate's statistics against scipy, brute force and their own symmetries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from headstart.lifecycle import statistics as ours

Z = -ours.normal_quantile(0.05)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_binomial_tail_is_the_exact_mcnemar_test(b: int, c: int) -> None:
    truth = stats.binomtest(b, b + c, alternative="greater").pvalue if b + c else 1.0
    assert ours.binomial_tail(b, b + c) == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize(
    ("k", "n"), [(520, 1001), (480, 1001), (1, 1001), (1001, 1001), (501_000, 1_000_000)]
)
def test_a_long_binomial_tail_agrees_with_scipy(k: int, n: int) -> None:
    assert ours.binomial_tail(k, n) == pytest.approx(stats.binom.sf(k - 1, n, 0.5), rel=1e-8)


def test_the_binomial_tail_at_its_ends() -> None:
    assert ours.binomial_tail(0, 0) == 1.0
    assert ours.binomial_tail(4, 3) == 0.0
    assert ours.binomial_tail(5, 5) == 1 / 32
    assert ours.binomial_tail(0, 2000) == ours.binomial_tail(1, 3000) == 1.0


pairs = st.integers(1, 300).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)


@given(pairs)
def test_tangos_bound_solves_his_equation(pair: tuple[int, int, int]) -> None:
    b, c, n = pair
    low, high = (ours.tango_bound(b, c, n, Z, upper=side) for side in (False, True))
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert high - low > 0
    if low > -1:
        assert ours.tango_statistic(b, c, n, low) == pytest.approx(Z, abs=1e-5)
    if high < 1:
        assert ours.tango_statistic(b, c, n, high) == pytest.approx(-Z, abs=1e-5)


@given(pairs)
def test_swapping_the_two_models_mirrors_tangos_bounds(pair: tuple[int, int, int]) -> None:
    b, c, n = pair
    assert ours.tango_bound(b, c, n, Z, upper=True) == -ours.tango_bound(c, b, n, Z, upper=False)
    assert ours.tango_statistic(b, c, n, 0.2) == pytest.approx(-ours.tango_statistic(c, b, n, -0.2))


@pytest.mark.parametrize(
    ("b", "c", "n", "delta"), [(7, 3, 40, -0.1), (7, 3, 40, 0.3), (0, 4, 30, 0.1), (0, 0, 9, -0.2)]
)
def test_tangos_q_maximizes_the_restricted_likelihood(b: int, c: int, n: int, delta: float) -> None:
    """The closed form against its definition: q is the chance of (old right, new wrong) that fits best
    among those with difference delta."""

    def unlikely(q: float) -> float:
        chances = (q + delta, q, 1 - 2 * q - delta)
        return -sum(k * math.log(max(p, 1e-300)) for k, p in zip((b, c, n - b - c), chances, strict=True))

    least, most = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    variance = n * (2 * q + delta * (1 - delta))
    assert ours.tango_statistic(b, c, n, delta) == pytest.approx(
        (b - c - n * delta) / math.sqrt(variance), rel=1e-4
    )


def test_no_discordant_pair_has_the_bound_known_in_closed_form() -> None:
    """With b = c = 0 the equation is n D^2 = z^2 (-D)(1 + D): D = -z^2 / (n + z^2), never 0."""
    for n in (1, 10, 1000):
        assert ours.tango_bound(0, 0, n, Z, upper=False) == pytest.approx(-Z * Z / (n + Z * Z), rel=1e-12)


def test_tangos_bound_covers_the_truth_at_its_rate() -> None:
    """By enumeration: the chance that the lower bound lies above the true difference is about alpha."""
    n, chance_b, chance_c = 60, 0.10, 0.15
    missed = 0.0
    for b, c in itertools.product(range(25), range(30)):
        if b + c <= n and ours.tango_bound(b, c, n, Z, upper=False) > chance_b - chance_c:
            missed += stats.multinomial.pmf(
                [b, c, n - b - c], n, [chance_b, chance_c, 1 - chance_b - chance_c]
            )
    assert 0.03 < missed < 0.06


@pytest.mark.parametrize("alpha", [0.5, 0.3, 0.05, 0.01, 1e-6])
@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 31, 200, 201, 5000])
def test_students_quantile_agrees_with_scipy(alpha: float, freedom: int) -> None:
    assert ours.student_quantile(alpha, freedom) == pytest.approx(
        stats.t.isf(alpha, freedom), rel=1e-5, abs=1e-9
    )


@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=1, max_size=9))
def test_few_groups_flip_exactly(values: list[float]) -> None:
    sums = np.array(values)
    flips = [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    truth = np.mean([total >= sum(values) - 1e-9 for total in flips])
    assert ours.sign_flip_p(sums) == pytest.approx(truth)


@pytest.mark.parametrize("distinct", [True, False], ids=["all different", "few kinds"])
def test_many_groups_flip_as_the_normal_law_says(distinct: bool) -> None:
    random = np.random.default_rng(3)
    sums = (
        random.normal(0.1, 1, 300)
        if distinct
        else random.choice([-1.0, 0.0, 1.0, 2.0], 300, p=[0.3, 0.4, 0.2, 0.1])
    )
    expected = stats.norm.sf(sums.sum() / math.sqrt((sums**2).sum()))
    assert ours.sign_flip_p(sums) == pytest.approx(expected, abs=0.02)


def test_flipping_ones_is_the_binomial_test() -> None:
    sums = np.array([1.0] * 30 + [-1.0] * 18 + [0.0] * 52)
    assert ours.sign_flip_p(sums) == pytest.approx(ours.binomial_tail(30, 48), abs=0.01)
    assert ours.sign_flip_p(np.zeros(5)) == 1.0


@pytest.mark.parametrize("kinds", [3, 500])
def test_the_bootstrap_is_near_the_normal_interval_when_groups_are_many(kinds: int) -> None:
    random = np.random.default_rng(1)
    values = np.round(random.normal(0.2, 1, 600) * kinds) / kinds
    low, high = ours.bootstrap_bounds(values, np.ones(600), 0.05)
    half = Z * values.std(ddof=1) / math.sqrt(600)
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


@pytest.mark.parametrize("groups", [4, 40, 90])
def test_bounds_depend_neither_on_order_nor_on_repeats_within_groups(groups: int) -> None:
    random = np.random.default_rng(groups)
    sums, sizes = random.normal(size=groups), random.integers(1, 6, groups).astype(float)
    bounds = ours.bootstrap_bounds(sums, sizes, 0.05)
    order = random.permutation(groups)
    assert ours.bootstrap_bounds(sums[order], sizes[order], 0.05) == pytest.approx(bounds, rel=1e-12)
    assert ours.bootstrap_bounds(2 * sums, 2 * sizes, 0.05) == pytest.approx(bounds, rel=1e-12)
    assert ours.bootstrap_bounds(sums, sizes, 0.05) == bounds
    assert ours.sign_flip_p(sums[order]) == pytest.approx(ours.sign_flip_p(sums), abs=1e-12)


def test_few_groups_keep_the_error_rate_that_a_percentile_bootstrap_breaks() -> None:
    """6 groups of 5: the lower bound may lie above the true difference, 0, in about 5 % of cases."""
    random, rounds = np.random.default_rng(5), 400
    missed = sum(
        ours.bootstrap_bounds(sums, np.full(6, 5.0), 0.05, draws=1000)[0] > 0
        for sums in random.normal(size=(rounds, 6))
    )
    assert missed <= stats.binom.ppf(0.999, rounds, 0.05)


def test_one_group_says_nothing() -> None:
    assert ours.bootstrap_bounds(np.ones(1), np.ones(1), 0.05) == (-math.inf, math.inf)
    assert ours.group_variance(np.ones(1), np.ones(1)) == math.inf


def test_the_variance_of_an_item_grows_with_what_its_group_shares() -> None:
    values = np.random.default_rng(2).normal(size=200)
    alone = ours.group_variance(values, np.ones(200))
    assert alone == pytest.approx(values.var(ddof=1))
    # Five copies of each item carry the information of one: five times the variance of one item.
    assert ours.group_variance(5 * values, np.full(200, 5.0)) == pytest.approx(5 * alone)


def test_holm_agrees_with_its_definition() -> None:
    adjusted = ours.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert ours.holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])


def test_an_impossible_difference_is_infinitely_far() -> None:
    assert ours.tango_statistic(0, 0, 10, 0.0) == 0.0
    assert ours.tango_statistic(5, 0, 10, -1.0) == math.inf
    assert ours.tango_statistic(0, 5, 10, 1.0) == -math.inf


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30, 199, 200, 201, 300])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_students_quantile_is_exact_up_to_200_then_leaves_out_a_term(freedom: int, alpha: float) -> None:
    z, left_out = float(stats.norm.isf(alpha)), 0.0
    if freedom > 200:  # the next term of the series
        left_out = 79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z
    expected = stats.t.isf(alpha, freedom) - left_out / (92160 * freedom**4)
    assert ours.student_quantile(alpha, freedom) == pytest.approx(expected, rel=1e-11)


def test_the_variance_of_groups_by_hand() -> None:
    # 9 over 6 items: 1.5 each; the groups are off by -0.5, -1 and 1.5; 3.5 / 2 over 2 items a group.
    assert ours.group_variance(np.array([1.0, 2, 6]), np.array([1.0, 2, 3])) == pytest.approx(0.875)
    assert ours.group_variance(np.array([0.0, 2]), np.ones(2)) == pytest.approx(2.0)
    low, high = ours.bootstrap_bounds(np.array([0.0, 2]), np.ones(2), 0.05)
    # Two groups: Student's t with one degree of freedom, 6.3138, on a standard error of 1.
    assert (low, high) == pytest.approx((1 - 6.313751515, 1 + 6.313751515))


# ---- the same seed gives the same draws, so that a verdict can be made again --------------------------


def stream(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def groups(kinds: int, *, equal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Kinds of groups in the order in which they are drawn from, and how often each occurs."""
    sizes = np.full(kinds, 2.0) if equal else 1.0 + np.arange(kinds) % 3
    return np.stack([np.linspace(-1, 5, kinds), sizes], axis=1), 1 + np.arange(kinds) % 2


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("kinds", [9, 64])
def test_few_kinds_of_groups_are_drawn_by_their_counts(kinds: int, equal: bool) -> None:
    pairs, counts = groups(kinds, equal=equal)
    times = stream(7).multinomial(counts.sum(), counts / counts.sum(), size=50)
    expected = [(t * pairs[:, 0]).sum() / (t * pairs[:, 1]).sum() for t in times]
    assert ours._bootstrap_means(pairs, counts, 50, 7) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(("kinds", "parts"), [(65, (120,)), (3000, (444, 30))])
def test_many_kinds_of_groups_are_drawn_one_by_one(kinds: int, parts: tuple[int, ...], equal: bool) -> None:
    pairs, counts = groups(kinds, equal=equal)
    random, every, expected = stream(0), np.repeat(pairs, counts, axis=0), []
    for part in parts:  # two million drawn groups at a time
        for chosen in random.integers(0, len(every), size=(part, len(every)), dtype=np.int32):
            total = every[chosen].sum(0)
            expected.append(total[0] / total[1])
    found = ours._bootstrap_means(pairs, counts, sum(parts), 0)
    assert found == pytest.approx(np.array(expected), rel=1e-9)


def test_the_wider_of_percentiles_and_students_bound_is_taken() -> None:
    """One group of 31 has all there is: upwards the draws reach further, downwards Student does."""
    sums, sizes = np.array([0.0] * 30 + [100.0]), np.ones(31)
    times = stream(5).multinomial(31, [30 / 31, 1 / 31], size=2000)
    mean, half = 100 / 31, stats.t.isf(0.01, 30) * sums.std(ddof=1) / math.sqrt(31)
    expected = mean - half, float(np.quantile(times[:, 1] * 100 / 31, 0.99))
    assert expected[1] > mean + half
    assert ours.bootstrap_bounds(sums, sizes, 0.01, draws=2000, seed=5) == pytest.approx(expected)
    mirrored = ours.bootstrap_bounds(-sums, sizes, 0.01, draws=2000, seed=5)
    assert mirrored == pytest.approx((-expected[1], -expected[0]))


@pytest.mark.parametrize(("kinds", "drawn"), [(5000, True), (5001, False)])
def test_above_5000_different_groups_students_bound_stands_alone(
    kinds: int, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(ours, "_bootstrap_means", lambda *a: calls.append(1) or np.zeros(4))
    sums = np.linspace(0, 1, kinds)
    low, high = ours.bootstrap_bounds(sums, np.full(kinds, 2.0), 0.1)
    half = stats.t.isf(0.1, kinds - 1) * sums.std(ddof=1) / 2 / math.sqrt(kinds)
    assert bool(calls) is drawn and high == pytest.approx(0.25 + half, rel=1e-9)
    assert low == pytest.approx(0.0 if drawn else 0.25 - half, rel=1e-9)


@pytest.mark.parametrize("sums", [[1.0, 2, 4, 4], [-1.0, -2, -4, -9], [-3.0, -3, 1, 5], [5.0, -1, -4, 0]])
def test_exchanging_the_models_draws_the_same(sums: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sum is 0, the skew tells which way is up."""
    calls: list[tuple[list[list[float]], list[int]]] = []

    def means(kinds: np.ndarray, counts: np.ndarray, draws: int, seed: int) -> np.ndarray:
        assert (draws, seed) == (10_000, 0)
        calls.append((kinds.tolist(), counts.tolist()))
        return np.array([2.0, 3.0])

    monkeypatch.setattr(ours, "_bootstrap_means", means)
    sizes = np.array([2.0, 1, 1, 3])
    high = ours.bootstrap_bounds(np.array(sums), sizes, 0.05)
    low = ours.bootstrap_bounds(-np.array(sums), sizes, 0.05)
    assert calls[0] == calls[1] and sorted(calls[0][0]) == calls[0][0]
    assert sum(n * kind[0] for kind, n in zip(*calls[0], strict=True)) >= 0
    assert high[1] == -low[0] and high[0] == -low[1]


def test_up_to_16_groups_are_flipped_exactly() -> None:
    values = np.random.default_rng(0).normal(0.2, 1, 17)
    exact, drawn = ours.sign_flip_p(values[:16]), ours.sign_flip_p(values)
    assert exact * 2**16 == round(exact * 2**16)
    assert drawn * 10_001 == pytest.approx(round(drawn * 10_001), abs=1e-6)
    assert drawn * 2**17 != round(drawn * 2**17)


@pytest.mark.parametrize("kinds", [17, 64])
def test_few_kinds_of_groups_are_flipped_by_their_counts(kinds: int) -> None:
    sizes = np.arange(1.0, kinds + 1)
    sums = np.concatenate([np.where(np.arange(kinds) % 16 < 9, sizes, -sizes)] * 2 + [np.zeros(4)])
    random, at_least = stream(3), 0
    for up in random.binomial(np.full(kinds, 2), 0.5, size=(400, kinds)):
        at_least += bool(((2 * up - 2) * sizes).sum() >= sums.sum())
    assert ours.sign_flip_p(sums, draws=400, seed=3) == (at_least + 1) / 401
    assert 0.05 < (at_least + 1) / 401 < 0.95


@pytest.mark.parametrize("kinds", [65, 2000, 2300])
def test_many_kinds_of_groups_are_flipped_one_by_one_the_largest_2000(kinds: int) -> None:
    sizes = np.linspace(1, 3, kinds)
    sums = np.where(np.arange(kinds) % 32 < 16, sizes, -sizes)
    flipped, rest = sizes[-2000:], math.sqrt((sizes[:-2000] ** 2).sum())
    random, at_least = stream(0), 0
    for part in (1200,) if kinds == 65 else (1000, 200):  # two million flips at a time
        ups = random.integers(0, 2, size=(part, len(flipped)), dtype=np.int8)
        normal = random.standard_normal(part)
        for up, extra in zip(ups, normal, strict=True):
            at_least += bool(((2.0 * up - 1) * flipped).sum() + rest * extra >= sums.sum() - 1e-9)
    assert ours.sign_flip_p(sums, draws=1200) == (at_least + 1) / 1201
    assert 0.05 < (at_least + 1) / 1201 < 0.95
