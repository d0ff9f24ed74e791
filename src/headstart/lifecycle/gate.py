"""The gate: promote, hold or reject, from paired evidence on sealed items.

Promote needs all of these, each at error rate alpha (an intersection-union test, so nothing is
corrected): proof of improvement overall, proof of no loss beyond the margin overall, and the same on
every protected slice. Proof of harm is reject. Everything else is hold.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.statistics import (
    binomial_tail,
    bootstrap_bounds,
    normal_quantile,
    sign_flip_p,
    tango_bound,
)
from headstart.lifecycle.verdict import Table, Verdict

__all__ = ["Verdict", "compare", "compare_scores", "first", "needed_items"]

Array = np.ndarray[Any, Any]
Slices = Mapping[str, Any] | Sequence[Hashable] | None
# A slice too small to decide does not hold a candidate back if it lost next to nothing there.
_FEW_LOSSES = 2


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
    McNemar test ``p = P(Bin(b + c, 1/2) >= b) <= alpha``; no loss beyond a margin is the lower bound of
    Tango's score interval for ``d = (b - c) / n`` above ``-margin``. With groups, items of a group are
    not independent: p is then the larger of McNemar's and a sign-flip test over groups, and the bounds
    are the wider of Tango's and of a bootstrap over groups.

    Args:
        old_correct: (n,) right or wrong of the champion.
        new_correct: (n,) of the candidate.
        slices: name to mask or item numbers; or one label for each item.
        groups: one group for each item.
        margin: loss overall that counts as none, in [0, 1).
        alpha: error rate, in (0, 0.5].
        slice_margin: the same for slices; the larger of ``margin`` and 0.05 by default.
        require: ``improvement``, or ``non-inferiority`` to promote what is proven no worse.
        look, max_looks: which of how many candidates this gate set judges; each look spends
            ``alpha / max_looks``. Beyond the last look the decision is hold.

    Raises:
        InputError: lengths differ, no item, values other than right and wrong, or a setting out of range.
    """
    old, new = _binary(old_correct, "old_correct"), _binary(new_correct, "new_correct")
    settings = _settings(len(old), len(new), margin, alpha, slice_margin, require, look, max_looks, limit=1.0)
    names, codes = _slices(slices, len(old)), _groups(groups, len(old))
    spent = settings["alpha_spent"]
    difference = new.astype(float) - old.astype(float)

    def table(name: str, index: Array, limit: float) -> Table:
        b = int((difference[index] > 0).sum())
        c = int((difference[index] < 0).sum())
        n, z = len(index), normal_quantile(1 - spent)
        p = binomial_tail(b, b + c) if b + c else 1.0
        lower, upper = tango_bound(b, c, n, z, upper=False), tango_bound(b, c, n, z, upper=True)
        if codes is not None:
            sums, sizes = _by_group(difference[index], codes[index])
            wide = bootstrap_bounds(sums, sizes, spent)
            lower, upper = min(lower, wide[0]), max(upper, wide[1])
            p = max(p, sign_flip_p(sums))
        return Table(
            name=name, n=n, b=b, c=c, d=(b - c) / n, p_value=p, lower=lower, upper=upper, margin=limit
        )

    return _decide(table, names, difference, settings)


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
    ``-margin``. Margins are in units of the score. Other arguments are those of :func:`compare`.
    """
    old, new = _finite(old_scores, "old_scores"), _finite(new_scores, "new_scores")
    settings = _settings(len(old), len(new), margin, alpha, slice_margin, require, look, max_looks)
    names, codes = _slices(slices, len(old)), _groups(groups, len(old))
    spent, difference = settings["alpha_spent"], new - old

    def table(name: str, index: Array, limit: float) -> Table:
        part = difference[index]
        sums, sizes = _by_group(part, codes[index] if codes is not None else np.arange(len(part)))
        lower, upper = bootstrap_bounds(sums, sizes, spent)
        p = sign_flip_p(sums) if np.any(sums) else 1.0
        p = p if lower > 0 else max(p, min(1.0, spent * (1 + 1e-9)))
        return Table(
            name=name,
            n=len(part),
            b=int((part > 0).sum()),
            c=int((part < 0).sum()),
            d=float(part.mean()),
            p_value=p,
            lower=lower,
            upper=upper,
            margin=limit,
        )

    return _decide(table, names, difference, settings)


def first(candidate_scores: Any, baseline_scores: Any) -> Verdict:
    """Judges the first version of a store: promoted when its mean score beats the trivial predictor's.

    Args:
        candidate_scores: (n,) scores of the candidate.
        baseline_scores: (n,) scores of the trivial predictor on the same items.
    """
    new, old = _finite(candidate_scores, "candidate_scores"), _finite(baseline_scores, "baseline_scores")
    settings = _settings(len(old), len(new), 0.0, 0.05, None, "improvement", 1, 1)
    difference = new - old
    lower, upper = bootstrap_bounds(difference, np.ones(len(difference)), 0.05)
    overall = Table(
        name="overall",
        n=len(new),
        b=int((difference > 0).sum()),
        c=int((difference < 0).sum()),
        d=float(difference.mean()),
        lower=lower,
        upper=upper,
        margin=0.0,
        decision="pass" if difference.mean() > 0 else "fail",
    )
    better = difference.mean() > 0
    reason = f"the first version scores {new.mean():.4g}, the trivial predictor {old.mean():.4g}"
    return Verdict(
        decision="promote" if better else "hold",
        reasons=(reason if better else f"{reason}: not better",),
        overall=overall,
        regressed=tuple(int(i) for i in np.flatnonzero(difference < 0)),
        settings=settings,
    )


def needed_items(discordance: float, margin: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items that a non-inferiority test needs: ``(z_alpha + z_power)^2 psi / margin^2``.

    Args:
        discordance: psi, share of items on which the two differ.
        margin: loss that counts as none, above 0.
        alpha, power: error rate and power wanted.
    """
    z = normal_quantile(1 - alpha) + normal_quantile(power)
    return math.ceil(z * z * discordance / margin**2)


def _decide(table: Any, names: dict[str, Array], difference: Array, settings: dict[str, Any]) -> Verdict:
    overall = table("overall", np.arange(len(difference)), settings["margin"])
    tables = [_judged(table(name, index, settings["slice_margin"])) for name, index in names.items()]
    overall = _judged(overall)
    decision, reasons = _rule(overall, tables, settings)
    return Verdict(
        decision=decision,
        reasons=tuple(reasons),
        overall=overall,
        slices=tuple(tables),
        regressed=tuple(int(i) for i in np.flatnonzero(difference < 0)),
        settings=settings,
    )


def _judged(table: Table) -> Table:
    decision = (
        "pass" if table.lower > -table.margin else "fail" if table.upper < -table.margin else "inconclusive"
    )
    if (
        decision == "inconclusive"
        and table.name != "overall"
        and table.c <= _FEW_LOSSES
        and table.b >= table.c
    ):
        decision = "pass"
    return Table(**{**table.__dict__, "decision": decision})


def _rule(overall: Table, slices: list[Table], settings: dict[str, Any]) -> tuple[str, list[str]]:
    if settings["look"] > settings["max_looks"]:
        return "hold", [
            f"this gate set has judged {settings['max_looks']} candidate(s) already and must grow first"
        ]
    harmed = [t for t in slices if t.decision == "fail"]
    if overall.upper < 0:
        return "reject", [f"proven worse: the upper bound of the difference is {overall.upper:+.4f}"]
    if harmed:
        return "reject", [
            f"proven worse on {t.name}: at most {t.upper:+.4f}, margin {t.margin}" for t in harmed
        ]
    reasons = []
    improved = overall.p_value is not None and overall.p_value <= settings["alpha_spent"]
    if settings["require"] == "improvement" and not improved:
        reasons.append(
            f"no proof of improvement: p = {overall.p_value:.4f}, needed {settings['alpha_spent']:.4g}"
        )
    if overall.decision != "pass":
        reasons.append(_undecided(overall))
    reasons += [_undecided(t) for t in slices if t.decision != "pass"]
    if reasons:
        return "hold", reasons
    proof = f"better: p = {overall.p_value:.4g}" if improved else "no worse"
    kept = f", no slice of {len(slices)} lost more than its margin" if slices else ""
    return "promote", [f"proven {proof}; the difference is at least {overall.lower:+.4f}{kept}"]


def _undecided(table: Table) -> str:
    text = f"{table.name}: a loss of {table.margin} is not ruled out (lower bound {table.lower:+.4f}, {table.n} items)"
    discordance = (table.b + table.c) / table.n
    if table.margin > 0 and discordance > 0:
        text += f"; about {needed_items(discordance, table.margin)} items would decide"
    return text


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
    _in_range("margin", margin, 0, limit)
    _in_range("slice_margin", 0.0 if slice_margin is None else slice_margin, 0, limit)
    if not isinstance(alpha, (int, float)) or not 0 < alpha <= 0.5:
        raise InputError("alpha is out of range", where="alpha", got=alpha, fix="give a number in (0, 0.5]")
    if require not in ("improvement", "non-inferiority"):
        raise InputError(
            "unknown requirement", where="require", got=require, fix="use improvement or non-inferiority"
        )
    if not all(isinstance(k, int) and k >= 1 for k in (look, max_looks)):
        raise InputError(
            "looks are counted from 1", where="look, max_looks", got=(look, max_looks), fix="give >= 1"
        )
    return {
        "margin": float(margin),
        "slice_margin": float(max(margin, 0.05) if slice_margin is None else slice_margin),
        "alpha": float(alpha),
        "alpha_spent": float(alpha) / max_looks,
        "require": require,
        "look": look,
        "max_looks": max_looks,
    }


def _in_range(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < high:
        raise InputError(
            f"{name} is out of range", where=name, got=value, fix=f"give a number in [{low}, {high})"
        )


def _array(values: Any, name: str) -> Array:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(
            "the values are no numbers", where=name, got=str(error), fix="give one number for each item"
        ) from error
    if array.ndim != 1:
        raise InputError(
            "the values must be one list",
            where=name,
            got=f"shape {list(array.shape)}",
            fix="give one value for each item",
        )
    return array


def _finite(values: Any, name: str) -> Array:
    array = _array(values, name)
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise InputError(
            "a score is not finite",
            where=f"{name}, item {wrong[0]}",
            got=array[wrong[0]],
            fix="check the model's outputs",
        )
    return array


def _binary(values: Any, name: str) -> Array:
    array = _array(values, name)
    wrong = np.flatnonzero((array != 0) & (array != 1))
    if len(wrong):
        raise InputError(
            "right or wrong must be True/False or 1/0",
            where=f"{name}, item {wrong[0]}",
            got=array[wrong[0]],
            fix="give right or wrong, or use compare_scores for other scores",
        )
    return array.astype(bool)


def _groups(groups: Sequence[Hashable] | None, n: int) -> Array | None:
    if groups is None:
        return None
    if len(groups) != n:
        raise InputError(
            "there must be one group for each item",
            where="groups",
            got=f"{len(groups)} for {n} items",
            fix="give n groups",
        )
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(_plain(group), len(numbers)) for group in groups])


def _plain(value: Any) -> Hashable:
    return value.item() if hasattr(value, "item") else value


def _by_group(values: Array, codes: Array) -> tuple[Array, Array]:
    _, index = np.unique(codes, return_inverse=True)
    return np.bincount(index, weights=values), np.bincount(index).astype(float)


def _slices(slices: Slices, n: int) -> dict[str, Array]:
    if slices is None:
        return {}
    if isinstance(slices, Mapping):
        return {str(name): _members(str(name), members, n) for name, members in slices.items()}
    if len(slices) != n:
        raise InputError(
            "there must be one slice label for each item",
            where="slices",
            got=f"{len(slices)} for {n} items",
            fix="give n labels",
        )
    places: dict[str, list[int]] = {}
    for place, label in enumerate(slices):
        places.setdefault(str(_plain(label)), []).append(place)
    return {name: np.array(members) for name, members in places.items()}


def _members(name: str, members: Any, n: int) -> Array:
    array = np.asarray(members.detach().cpu() if hasattr(members, "detach") else members)
    index = np.flatnonzero(array) if array.dtype == bool else array
    wrong = array.dtype == bool and len(array) != n
    numbers = array.dtype == bool or array.dtype.kind in "iu"
    if wrong or not numbers or len(index) == 0 or index.min() < 0 or index.max() >= n:
        raise InputError(
            "a slice is no mask of the items and no list of their numbers",
            where=f"slice {name}",
            got=f"{array.dtype}, length {len(array)}",
            fix=f"give {n} booleans, or numbers from 0 to {n - 1}; leave empty slices out",
        )
    return np.unique(index)
