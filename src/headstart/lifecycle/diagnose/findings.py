"""All findings about an arrival: each with a number, an interval or p-value, and advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError, UserCodeError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.diagnose.champion import champion_findings
from headstart.lifecycle.diagnose.inputs import column_names, input_table
from headstart.lifecycle.diagnose.shift import class_shift, column_shift, mmd, sample
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.nn.streams import seed_for, seeded
from headstart.protocols import Finding

__all__ = ["diagnose", "shifted"]

_ALPHA = 0.01
_SHIFTS = ("covariate-shift", "column-shift", "label-shift")
_MOST_TARGETS = 20_000
_SHOWN = 20


def diagnose(
    task: Task,
    *,
    model: nn.Module | None,
    old: Examples | None,
    new: Examples,
    new_rows: Rows,
    schema: Schema,
    seed: int,
    old_rows: Rows | None = None,
) -> list[Finding]:
    """Compares the training rows of an arrival with those before, and reads the champion on both.

    The same arguments give the same findings. Large inputs are sampled, so that the cost does not grow
    with the data except for one digest of each row. The model, its modes and gradients and the global
    random state are left as they were.

    Args:
        task: what is learned.
        model: the champion, or None.
        old, new: encoded training rows of the past and of the arrival; old is None at first.
        new_rows: the arrival's rows before encoding.
        schema: names of columns and classes.
        seed: of permutations and samples.
        old_rows: the past rows before encoding; None at first.

    Returns:
        ``novelty`` always; with old examples ``covariate-shift``, ``column-shift`` (where columns have
        names) and ``label-shift``; with a model also ``champion-score``, ``champion-loss``,
        ``gradient-ratio``, ``dormant-units``, ``effective-rank`` and ``weight-norm``, as far as it has
        what they measure.

    Raises:
        UserCodeError: the user's model, loss or score failed.
    """
    found = [_novelty(old_rows, new_rows)]
    if old is None:
        return found
    random = np.random.default_rng(seed_for(seed, "diagnose"))
    if len(old) > 1 and len(new) > 1:
        found += _shifts(old, new, schema, random)
    if model is not None and len(old) and len(new):
        found += _champion(task, model, old, new, seed)
    return found


def shifted(findings: Sequence[Finding]) -> bool:
    """Whether a test found that the data changed: each at a false-alarm rate of 1 in 100."""
    return any(f.name in _SHIFTS and f.severity == "warning" for f in findings)


def _champion(task: Task, model: nn.Module, old: Examples, new: Examples, seed: int) -> list[Finding]:
    random = np.random.default_rng(seed_for(seed, "diagnose", "champion"))
    try:
        with seeded(seed, "diagnose", "model"):  # a model may draw even in evaluation mode
            return list(champion_findings(task, model, old, new, random))
    except HeadstartError:
        raise
    except Exception as error:
        raise UserCodeError(
            "the model, the loss or the score failed while the arrival was examined",
            where=f"task {task.name}",
            got=f"{type(error).__name__}: {error}",
            fix="mend it; the cause stands above (--traceback shows it)",
        ) from error


def _novelty(old: Rows | None, new: Rows) -> Finding:
    seen = set(old.row_digests()) if old is not None else set()
    digests = new.row_digests()
    fresh = len(set(digests) - seen)
    share = fresh / max(1, len(digests))
    stale = bool(digests) and share < 0.5
    return Finding(
        name="novelty",
        value=share,
        severity="notice" if stale else "info",
        text=f"{fresh} of {len(digests)} training rows are new; {len(seen)} were known before.",
        advice="Much of this arrival was known already; it may not be worth a run." if stale else "",
        details={"new": fresh, "repeated": len(digests) - fresh, "known": len(seen)},
    )


def _shifts(old: Examples, new: Examples, schema: Schema, random: np.random.Generator) -> Iterator[Finding]:
    left, right = input_table(old, random), input_table(new, random)
    if min(len(left), len(right)) > 1:
        value, p = mmd(left, right, random)
        yield Finding(
            name="covariate-shift",
            value=value,
            p_value=p,
            severity=_severity(p),
            text=f"The inputs {_changed(p)}: maximum mean discrepancy {value:.4g} (p = {p:.3g}).",
            advice="Let all starts race, and look at the gate's slices." if p <= _ALPHA else "",
        )
    names = column_names(schema, new)
    if names:
        yield _columns(left, right, names)
    yield _labels(old.targets, new.targets, schema, random)


def _columns(old: np.ndarray, new: np.ndarray, names: list[str]) -> Finding:
    distances, adjusted = column_shift(old, new)
    order = [int(j) for j in np.lexsort((-distances, adjusted))]
    worst = [j for j in order if adjusted[j] <= _ALPHA]
    return Finding(
        name="column-shift",
        value=float(distances[order[0]]),
        p_value=float(adjusted[order[0]]),
        severity="warning" if worst else "info",
        text=f"{len(worst)} of {len(names)} input columns changed their distribution"
        + (f", {names[worst[0]]} the most." if worst else "."),
        advice=f"Look at {', '.join(names[j] for j in worst[:3])}." if worst else "",
        details={"columns": [[names[j], float(distances[j]), float(adjusted[j])] for j in worst[:_SHOWN]]},
    )


def _labels(old: Tensor, new: Tensor, schema: Schema, random: np.random.Generator) -> Finding:
    if old.is_floating_point() or schema.target.get("kind") == "number":
        left, right = (_numbers(part, random) for part in (old, new))
        distances, adjusted = column_shift(left, right)
        distance, p = float(distances.max()), float(adjusted.min())
        return _label_finding("targets", "Kolmogorov-Smirnov distance", distance, p)
    if old.ndim == 1:
        distance, p = class_shift(old.numpy(), new.numpy(), random)
        return _label_finding("class shares", "total variation distance", distance, p)
    # Tokens of one text are far from independent: a number, no test.
    shares = [
        torch.bincount(part[part >= 0].flatten(), minlength=1) / max(1, part.numel()) for part in (old, new)
    ]
    width = max(len(part) for part in shares)
    before, after = (nn.functional.pad(part, (0, width - len(part))) for part in shares)
    distance = 0.5 * float((before / before.sum() - after / after.sum()).abs().sum())
    return Finding(
        name="label-shift",
        value=distance,
        text=f"Total variation distance {distance:.4g} between new and old shares of the tokens to predict.",
    )


def _numbers(targets: Tensor, random: np.random.Generator) -> np.ndarray:
    flat = targets.reshape(len(targets), -1)[torch.from_numpy(sample(len(targets), _MOST_TARGETS, random))]
    return np.asarray(torch.nan_to_num(flat.double()).numpy())


def _label_finding(what: str, measure: str, distance: float, p: float) -> Finding:
    return Finding(
        name="label-shift",
        value=distance,
        p_value=p,
        severity=_severity(p),
        text=f"The {what} {_changed(p)}: {measure} {distance:.4g} (p = {p:.3g}).",
        advice="Check that the labels mean what they meant." if p <= _ALPHA else "",
    )


def _severity(p: float) -> str:
    return "warning" if p <= _ALPHA else "info"


def _changed(p: float) -> str:
    return "changed" if p <= _ALPHA else "show no change"
