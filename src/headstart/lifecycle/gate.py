"""The gate: promote, hold or reject, from paired evidence on sealed items.

Promote needs all of these, each at error rate alpha (an intersection-union test, so nothing is
corrected): proof of improvement overall, proof of no loss beyond the margin overall, and the same on
every protected slice. Proof of harm is reject: a loss overall, or one beyond the margin on a slice
(any one slice will do, so their p-values are corrected by Holm's method). Everything else is hold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.slices import Array, Slices, binary, by_group, finite, group_codes, slice_members
from headstart.lifecycle.statistics import (
    binomial_tail,
    bootstrap_bounds,
    group_variance,
    holm,
    normal_quantile,
    sign_flip_p,
    tango_bound,
)
from headstart.lifecycle.verdict import Table, Verdict

__all__ = ["Verdict", "compare", "compare_scores", "first", "needed_items"]

# A slice too small to decide does not hold a candidate back that lost next to nothing there.
_FEW_LOSSES = 2
_SLICE_MARGIN = 0.05


def compare(
    old_correct: Any,
    new_correct: Any,
    slices: Slices = None,
    groups: Sequence[Hashable] | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
    *,
    slice_margin: float | None = None,
    require: str = "improvement",
    look: int = 1,
    max_looks: int = 1,
) -> Verdict:
    """Judges a candidate by right or wrong on the same n items.

    With b = old wrong and new right and c = old right and new wrong, improvement is the exact one-sided
    McNemar test ``p = P(Bin(b + c, 1/2) >= b) <= alpha`` together with a lower bound above 0; no loss
    beyond a margin is a lower bound above ``-margin``. The bounds are those of Tango's score interval
    for ``d = (b - c) / n``.

    Items of a group are not independent. With groups p is the larger of McNemar's and a sign-flip test
    over groups, and the bounds are the widest of a bootstrap over groups, a Student bound over groups,
    and Tango's for as many independent items as the groups are worth.

    Args:
        old_correct: (n,) right or wrong of the champion.
        new_correct: (n,) of the candidate.
        slices: name to mask or item numbers; or one label for each item. Every slice is protected.
        groups: one group for each item.
        margin: loss overall that counts as none, in [0, 1).
        alpha: error rate, in (0, 0.5].
        slice_margin: the same for slices; the larger of ``margin`` and 0.05 by default.
        require: ``improvement``, or ``non-inferiority`` to promote what is proven no worse than the
            margin; only a loss beyond the margin is then harm.
        look, max_looks: which of how many candidates this gate set judges; each look spends
            ``alpha / max_looks``. Beyond the last look the decision is hold.

    Raises:
        InputError: lengths differ, no item, values other than right and wrong, or a setting out of range.
    """
    old, new = binary(old_correct, "old_correct"), binary(new_correct, "new_correct")
    settings = _settings(len(old), len(new), margin, alpha, slice_margin, require, look, max_looks, limit=1.0)
    members, codes = slice_members(slices, len(old)), group_codes(groups, len(old))
    spent = settings["alpha_spent"]
    difference = new.astype(float) - old.astype(float)

    def table(name: str, index: Array, limit: float) -> Table:
        b, c = int((difference[index] > 0).sum()), int((difference[index] < 0).sum())
        n, z = len(index), -normal_quantile(spent)
        better, worse, variance = binomial_tail(b, b + c), binomial_tail(c, b + c), (b + c) / n
        if codes is None:
            lower, upper = (tango_bound(b, c, n, z, upper=side) for side in (False, True))
        else:
            sums, sizes = by_group(difference[index], codes[index])
            lower, upper = _group_bounds(b, c, sums, sizes, spent)
            better, worse = max(better, sign_flip_p(sums)), max(worse, sign_flip_p(-sums))
            variance = group_variance(sums, sizes)
        return Table(name, n, b, c, (b - c) / n, better, worse, lower, upper, limit, variance)

    return _verdict(table, members, difference, settings)


def compare_scores(
    old_scores: Any,
    new_scores: Any,
    slices: Slices = None,
    groups: Sequence[Hashable] | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
    *,
    slice_margin: float | None = None,
    require: str = "improvement",
    look: int = 1,
    max_looks: int = 1,
) -> Verdict:
    """Judges a candidate by real-valued scores on the same n items, higher is better.

    Improvement is a one-sided sign-flip test over groups (over items without groups) together with a
    lower bound above 0 of the paired bootstrap; no loss beyond a margin is that lower bound above
    ``-margin``. Margins are in units of the score, at least 0. ``b`` and ``c`` count items that got
    better and worse. Other arguments and errors are those of :func:`compare`.
    """
    old, new = finite(old_scores, "old_scores"), finite(new_scores, "new_scores")
    settings = _settings(len(old), len(new), margin, alpha, slice_margin, require, look, max_looks)
    members, codes = slice_members(slices, len(old)), group_codes(groups, len(old))
    codes = np.arange(len(old)) if codes is None else codes
    difference = new - old

    def table(name: str, index: Array, limit: float) -> Table:
        part = difference[index]
        sums, sizes = by_group(part, codes[index])
        lower, upper = bootstrap_bounds(sums, sizes, settings["alpha_spent"])
        b, c, mean = int((part > 0).sum()), int((part < 0).sum()), float(part.mean())
        better, worse, variance = sign_flip_p(sums), sign_flip_p(-sums), group_variance(sums, sizes)
        return Table(name, len(part), b, c, mean, better, worse, lower, upper, limit, variance)

    return _verdict(table, members, difference, settings)


def first(candidate_scores: Any, baseline_scores: Any) -> Verdict:
    """Judges the first version of a store: promoted when its mean score beats the trivial predictor's.

    There is no champion to protect, so this compares two means and proves nothing; the table holds the
    evidence there is.

    Args:
        candidate_scores: (n,) scores of the candidate.
        baseline_scores: (n,) scores of the trivial predictor on the same items.

    Raises:
        InputError: lengths differ, no item, or a score is not finite.
    """
    new, old = finite(candidate_scores, "candidate_scores"), finite(baseline_scores, "baseline_scores")
    judged = compare_scores(old, new, margin=0.0)
    better = judged.overall.d > 0
    reason = f"the first version scores {new.mean():.4g}, the trivial predictor {old.mean():.4g}"
    return dataclasses.replace(
        judged,
        decision="promote" if better else "hold",
        reasons=(reason if better else f"{reason}: not better",),
        overall=dataclasses.replace(judged.overall, decision="pass" if better else "inconclusive"),
    )


def needed_items(discordance: float, margin: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items that prove or rule out a difference: ``(z_alpha + z_power)^2 psi / margin^2``.

    Args:
        discordance: psi, share of items on which the two differ; for other scores, and for items in
            groups, the variance of one item's difference.
        margin: loss that counts as none, or gain to be proven, above 0.
        alpha, power: error rate and power wanted, each in (0, 1).

    Raises:
        InputError: an argument out of range.
    """
    for name, value, most in (
        ("discordance", discordance, math.inf),
        ("margin", margin, math.inf),
        ("alpha", alpha, 1),
        ("power", power, 1),
    ):
        if not _number(value) or not 0 < value < most:
            raise InputError(
                f"{name} is out of range", where=name, got=value, fix=f"give 0 < {name} < {most}"
            )
    z = normal_quantile(power) - normal_quantile(alpha)
    return math.ceil(z * z * discordance / margin**2)


def _verdict(
    table: Callable[[str, Array, float], Table],
    members: dict[str, Array],
    difference: Array,
    settings: dict[str, Any],
) -> Verdict:
    spent = settings["alpha_spent"]
    overall = _judged(table("overall", np.arange(len(difference)), settings["margin"]), spent)
    tables = [_judged(table(name, index, settings["slice_margin"]), spent) for name, index in members.items()]
    decision, reasons = _rule(overall, tables, settings)
    return Verdict(
        decision=decision,
        reasons=tuple(reasons),
        overall=overall,
        slices=tuple(tables),
        regressed=tuple(int(i) for i in np.flatnonzero(difference < 0)),
        settings=settings,
    )


def _group_bounds(b: int, c: int, sums: Array, sizes: Array, alpha: float) -> tuple[float, float]:
    """Bounds of (b - c) / n for items in groups: the wider of by groups and of Tango's."""
    low, high = bootstrap_bounds(sums, sizes, alpha)
    n, z = float(sizes.sum()), -normal_quantile(alpha)
    single, grouped = (b + c) / n - ((b - c) / n) ** 2, group_variance(sums, sizes)
    # How many independent items would say as much about d. Groups that are all alike say nothing about
    # that: their items count, or, when the items are all alike as well, one for each group.
    alike = grouped <= 1e-12 * single
    worth = (n if single > 0 else float(len(sums))) if alike else n * single / grouped
    if len(sums) > 1:
        share = worth / n
        low = min(low, tango_bound(b * share, c * share, worth, z, upper=False))
        high = max(high, tango_bound(b * share, c * share, worth, z, upper=True))
    return low, high


def _judged(table: Table, spent: float) -> Table:
    if table.lower > -table.margin:
        return dataclasses.replace(table, decision="pass")
    # The bounds are approximate where items are few, so a proof of harm needs the exact test as well.
    harmed = table.upper < -table.margin and table.p_worse <= spent
    return dataclasses.replace(table, decision="fail" if harmed else "inconclusive")


def _rule(overall: Table, slices: list[Table], settings: dict[str, Any]) -> tuple[str, list[str]]:
    if settings["look"] > settings["max_looks"]:
        return "hold", [
            f"this gate set has judged {settings['max_looks']} candidate(s) already: let it grow first"
        ]
    harm = _harm(overall, slices, settings)
    if harm:
        return "reject", harm
    spent = settings["alpha_spent"]
    improved = overall.p_value <= spent and overall.lower > 0
    doubts = []
    if settings["require"] == "improvement" and not improved:
        doubts.append(_unproven(overall, spent))
    if overall.decision != "pass":
        doubts.append(_undecided(overall, spent))
    open_slices = [t for t in slices if t.decision != "pass"]
    doubts += [_undecided(t, spent) for t in open_slices if not _tolerated(t)]
    if doubts:
        return "hold", doubts
    proof = f"better: p = {overall.p_value:.4g}" if improved else "no worse"
    kept = f"; no slice of {len(slices)} lost more than its margin" if slices else ""
    reasons = [f"proven {proof}, the difference is at least {overall.lower:+.4f}{kept}"]
    return "promote", reasons + [
        f"{t.name}: too few items to decide ({t.n}), let pass with {t.b} won and {t.c} lost"
        for t in open_slices
    ]


def _harm(overall: Table, slices: list[Table], settings: dict[str, Any]) -> list[str]:
    spent = settings["alpha_spent"]
    allowed = overall.margin if settings["require"] == "non-inferiority" else 0.0
    corrected = holm(np.array([t.p_worse for t in slices]))
    harmed = [t for t, p in zip(slices, corrected, strict=True) if t.decision == "fail" and p <= spent]
    worse = overall.upper < -allowed and overall.p_worse <= spent
    harm = [f"proven worse: the difference is at most {overall.upper:+.4f}"] if worse else []
    return harm + [
        f"proven worse on {t.name}: the difference is at most {t.upper:+.4f}, "
        f"beyond the margin of {t.margin:g}"
        for t in harmed
    ]


def _tolerated(table: Table) -> bool:
    return table.c <= _FEW_LOSSES and table.b >= table.c and table.d >= 0


def _unproven(table: Table, spent: float) -> str:
    text = f"no proof of improvement: p = {table.p_value:.4f}, needed {spent:.4g}"
    if table.p_value <= spent:
        text = f"no proof of improvement: the difference may be as low as {table.lower:+.4f}"
    return text + _hint(table, table.d, spent)


def _undecided(table: Table, spent: float) -> str:
    text = f"{table.name}: a loss of {table.margin:g} is not ruled out"
    text += f" (lower bound {table.lower:+.4f}, {table.n} items)"
    return text + _hint(table, table.margin, spent)


def _hint(table: Table, effect: float, spent: float) -> str:
    if effect <= 0 or not 0 < table.variance < math.inf:
        return ""
    return f"; about {needed_items(table.variance, effect, alpha=spent)} items would decide"


def _settings(
    n_old: int,
    n_new: int,
    margin: float,
    alpha: float,
    slice_margin: float | None,
    require: str,
    look: int,
    max_looks: int,
    limit: float = math.inf,
) -> dict[str, Any]:
    if n_old != n_new or n_old == 0:
        raise InputError(
            "champion and candidate must be judged on the same items, at least one",
            where="old, new",
            got=f"{n_old} and {n_new} items",
            fix="give one value for each item, in the same order",
        )
    _in_range("margin", margin, limit)
    chosen = max(margin, _SLICE_MARGIN) if slice_margin is None else slice_margin
    _in_range("slice_margin", chosen, limit)
    if not _number(alpha) or not 0 < alpha <= 0.5:
        raise InputError("alpha is out of range", where="alpha", got=alpha, fix="give a number in (0, 0.5]")
    if require not in ("improvement", "non-inferiority"):
        raise InputError(
            "unknown requirement", where="require", got=require, fix="use improvement or non-inferiority"
        )
    if not all(_number(k, Integral) and k >= 1 for k in (look, max_looks)):
        raise InputError(
            "looks are counted from 1", where="look, max_looks", got=(look, max_looks), fix="give >= 1"
        )
    return {
        "margin": float(margin),
        "slice_margin": float(chosen),
        "alpha": float(alpha),
        "alpha_spent": float(alpha) / int(max_looks),
        "require": require,
        "look": int(look),
        "max_looks": int(max_looks),
    }


def _in_range(name: str, value: Any, limit: float) -> None:
    if not _number(value) or not 0 <= value < limit:
        raise InputError(
            f"{name} is out of range", where=name, got=value, fix=f"give a number in [0, {limit:g})"
        )


def _number(value: Any, kind: type = Real) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
