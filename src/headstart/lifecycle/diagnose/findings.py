"""All findings about an arrival: each with a number, an interval or p-value, and advice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError, UserCodeError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.diagnose import health
from headstart.lifecycle.diagnose.shift import class_shift, column_shift, mmd
from headstart.lifecycle.tasks.base import Examples, Schema, Task, predict
from headstart.nn.streams import seed_for
from headstart.protocols import Finding

__all__ = ["diagnose", "shifted"]

_ALPHA = 0.01
_SHIFTS = ("covariate-shift", "column-shift", "label-shift")
_WIDEST = 512


def diagnose(
    task: Task,
    *,
    model: nn.Module | None,
    old: Examples | None,
    new: Examples,
    old_rows: Rows | None,
    new_rows: Rows,
    schema: Schema,
    seed: int,
) -> list[Finding]:
    """Compares the training rows of an arrival with those before, and reads the champion on both.

    Args:
        task: what is learned.
        model: the champion, or None.
        old, new: encoded training rows of the past and of the arrival; old is None at first.
        old_rows, new_rows: the same rows before encoding.
        schema: names of the columns.
        seed: of permutations and subsamples.

    Raises:
        UserCodeError: the user's model or loss failed.
    """
    random = np.random.default_rng(seed_for(seed, "diagnose"))
    try:
        found = [_novelty(old_rows, new_rows)]
        if old is not None and len(old) > 1 and len(new) > 1:
            found += _shifts(task, old, new, schema, random)
        if model is not None and old is not None and len(old) and len(new):
            found += _champion(task, model, old, new)
            found += _health(task, model, old, new)
    except HeadstartError:
        raise
    except Exception as error:
        raise UserCodeError(
            "the model or the loss failed while the arrival was examined",
            where=f"task {task.name}",
            got=f"{type(error).__name__}: {error}",
            fix="mend it; the cause stands above (--traceback shows it)",
        ) from error
    return found


def shifted(findings: Sequence[Finding]) -> bool:
    """Whether a test found that the data changed."""
    return any(f.name in _SHIFTS and f.severity == "warning" for f in findings)


def _novelty(old: Rows | None, new: Rows) -> Finding:
    seen = set(old.row_digests()) if old is not None else set()
    digests = new.row_digests()
    fresh = len(set(digests) - seen)
    share = fresh / max(1, len(digests))
    repeated = len(digests) - fresh
    return Finding(
        name="novelty",
        value=share,
        severity="notice" if share < 0.5 else "info",
        text=f"{fresh} of {len(digests)} training rows are new; {len(seen)} were known before.",
        advice="Much of this arrival was known already; it may not be worth a run." if share < 0.5 else "",
        details={"new": fresh, "repeated": repeated, "known": len(seen)},
    )


def _shifts(
    task: Task, old: Examples, new: Examples, schema: Schema, random: np.random.Generator
) -> Iterator[Finding]:
    left, right = _flat(old), _flat(new)
    value, p = mmd(left, right, random)
    yield Finding(
        name="covariate-shift",
        value=value,
        p_value=p,
        severity="warning" if p <= _ALPHA else "info",
        text=f"Maximum mean discrepancy between new and old inputs {value:.4g} (p = {p:.3g}).",
        advice="The inputs changed: let all starts race, and look at the gate's slices."
        if p <= _ALPHA
        else "",
    )
    distances, adjusted = column_shift(left, right)
    names = _names(schema, left.shape[1])
    worst = [int(j) for j in np.argsort(adjusted, kind="stable") if adjusted[j] <= _ALPHA]
    top = int(np.argmin(adjusted)) if len(adjusted) else 0
    yield Finding(
        name="column-shift",
        value=float(distances[top]),
        p_value=float(adjusted[top]),
        severity="warning" if worst else "info",
        text=f"{len(worst)} of {len(names)} input columns changed their distribution"
        + (f", {names[worst[0]]} the most." if worst else "."),
        advice=f"Look at {', '.join(names[j] for j in worst[:3])}." if worst else "",
        details={"columns": [[names[j], float(distances[j]), float(adjusted[j])] for j in worst[:20]]},
    )
    yield _labels(task, old.targets, new.targets, random)


def _labels(task: Task, old: Tensor, new: Tensor, random: np.random.Generator) -> Finding:
    if task.binary:
        distance, p = class_shift(old.numpy(), new.numpy(), random)
        what = "Total variation distance between new and old class shares"
    else:
        left, right = old.flatten().double().numpy(), new.flatten().double().numpy()
        distances, adjusted = column_shift(left[:20_000, None], right[:20_000, None])
        distance, p = float(distances[0]), float(adjusted[0])
        if old.ndim > 1:  # tokens of a text are far from independent: a number, no test
            p = 1.0
        what = "Kolmogorov-Smirnov distance between new and old targets"
    return Finding(
        name="label-shift",
        value=distance,
        p_value=p,
        severity="warning" if p <= _ALPHA else "info",
        text=f"{what} {distance:.4g} (p = {p:.3g}).",
        advice="The shares of the classes changed: check that the labels mean what they meant."
        if p <= _ALPHA
        else "",
    )


def _champion(task: Task, model: nn.Module, old: Examples, new: Examples) -> Iterator[Finding]:
    for name, kind in (("champion-score", "score"), ("champion-loss", "loss")):
        left, right = _values(task, model, old, kind), _values(task, model, new, kind)
        gap = float(right.mean() - left.mean())
        error = math.sqrt(
            float(right.var(correction=0)) / len(right) + float(left.var(correction=0)) / len(left)
        )
        lower, upper = gap - 1.96 * error, gap + 1.96 * error
        worse = upper < 0 if kind == "score" else lower > 0
        yield Finding(
            name=name,
            value=gap,
            lower=lower,
            upper=upper,
            severity="notice" if worse else "info",
            text=f"The champion's {task.metric if kind == 'score' else 'loss'} is "
            f"{float(right.mean()):.4g} on the new training rows and {float(left.mean()):.4g} on the old "
            "ones, which it has seen.",
            advice="The champion does worse on what is new: there is something to learn." if worse else "",
            details={"new": float(right.mean()), "old": float(left.mean())},
        )


def _values(task: Task, model: nn.Module, examples: Examples, kind: str, most: int = 2000) -> Tensor:
    part = examples.take(torch.arange(min(most, len(examples))))
    values = []
    for outputs, targets in predict(model, part):
        if kind == "score":
            values.append(task.scores(outputs, targets).double().cpu())
        else:
            rows = range(0, len(targets), 16)
            values.append(
                torch.tensor(
                    [float(task.loss(outputs[r : r + 16], targets[r : r + 16])) for r in rows]
                ).double()
            )
    return torch.cat(values)


def _health(task: Task, model: nn.Module, old: Examples, new: Examples) -> Iterator[Finding]:
    before, after = (health.gradient_norms(task, model, part) for part in (old, new))
    ratio = float(after.mean() / before.mean().clamp(min=1e-12))
    yield Finding(
        name="gradient-ratio",
        value=ratio,
        severity="notice" if ratio > 2 else "info",
        text=f"The gradient of a new example is {ratio:.3g} times that of an old one, on average.",
        advice="Plain warm starts lose accuracy when this is far above 1; shrinking or tempering balances it."
        if ratio > 2
        else "",
    )
    units, features = health.activations(model, new)
    dead, dormant, total = health.silent_units(units)
    if total:
        yield Finding(
            name="dormant-units",
            value=dormant,
            severity="notice" if dormant > 0.25 else "info",
            text=f"{dormant:.1%} of {total} units are dormant on the new rows, {dead:.1%} are dead.",
            advice="A quarter of the units do nothing: a fresh or tempered start may learn more."
            if dormant > 0.25
            else "",
            details={"dead": dead, "units": total},
        )
    if features is not None and features.numel():
        rank = health.effective_rank(features)
        yield Finding(
            name="effective-rank",
            value=rank,
            text=f"The features before the last layer have effective rank {rank:.1f} of {features.shape[1]}.",
            details={"width": features.shape[1]},
        )
    norm = health.weight_norm(model)
    yield Finding(name="weight-norm", value=norm, text=f"The champion's weights have norm {norm:.4g}.")


def _flat(examples: Examples) -> Any:
    inputs = examples.inputs[0] if isinstance(examples.inputs, tuple) else examples.inputs
    if not inputs.is_floating_point():
        return _frequencies(inputs)
    flat = inputs.flatten(1)
    stride = -(-flat.shape[1] // _WIDEST)
    return flat[:, ::stride].double().numpy()


def _frequencies(tokens: Tensor) -> Any:
    flat = tokens.flatten(1) % _WIDEST
    counts = torch.zeros(len(flat), _WIDEST).scatter_add_(1, flat, torch.ones(flat.shape))
    used = counts.sum(0) > 0
    return (counts[:, used] / flat.shape[1]).double().numpy()


def _names(schema: Schema, width: int) -> list[str]:
    names: list[str] = []
    for name, column in schema.columns.items():
        values = column.get("values")
        if values:
            names += [f"{name}={value}" for value in values]
        elif len(column.get("mean", [0])) == 1:
            names.append(name)
        else:
            names += [f"{name}[{i}]" for i in range(len(column["mean"]))]
    return names if len(names) == width else [f"input {i}" for i in range(width)]
