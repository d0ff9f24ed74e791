"""Findings about the champion: how it does on what is new, and whether it can still learn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from headstart.lifecycle.diagnose import health
from headstart.lifecycle.diagnose.shift import sample
from headstart.lifecycle.tasks.base import Examples, Task, predict
from headstart.protocols import Finding

__all__ = ["champion_findings"]

_SCORED = 2000
_GRADIENTS = 128
_ACTIVATED = 256
_Z = 1.959963984540054  # two-sided 95 %
_STEEP = 2.0
_SLEEPY = 0.25


def champion_findings(
    task: Task, model: nn.Module, old: Examples, new: Examples, random: np.random.Generator
) -> Iterator[Finding]:
    """Score, loss, gradient ratio, dormant units, effective rank and weight norm of a model.

    Args:
        task: gives loss and score.
        model: the champion; read only.
        old, new: at least one example each. At most 2,000 are scored, 128 differentiated.
        random: for drawing them.
    """
    with health.evaluating(model):
        scores = [_scores(task, model, _draw(part, _SCORED, random)) for part in (old, new)]
    yield _gap("champion-score", task.metric, scores[0], scores[1], worse=-1)
    singles = [health.losses_and_gradients(task, model, _draw(p, _GRADIENTS, random)) for p in (old, new)]
    (old_losses, old_norms), (new_losses, new_norms) = singles
    if len(old_losses) and len(new_losses):
        yield _gap("champion-loss", "loss", old_losses, new_losses, worse=1)
        if float(old_norms.mean()) > 0:
            yield _gradient_ratio(old_norms, new_norms)
    yield from _inside(model, _draw(new, _ACTIVATED, random))
    norm = health.weight_norm(model)
    yield Finding(name="weight-norm", value=norm, text=f"The champion's weights have norm {norm:.4g}.")


def _draw(examples: Examples, most: int, random: np.random.Generator) -> Examples:
    return examples.take(torch.from_numpy(sample(len(examples), most, random)))


def _scores(task: Task, model: nn.Module, examples: Examples) -> Tensor:
    with torch.no_grad():
        parts = [task.scores(outputs, targets) for outputs, targets in predict(model, examples)]
    return torch.cat([part.double().cpu() for part in parts])


def _gap(name: str, what: str, old: Tensor, new: Tensor, *, worse: int) -> Finding:
    """New mean minus old mean, with Welch's interval where both have at least two examples."""
    before, after = float(old.mean()), float(new.mean())
    gap, lower, upper = after - before, None, None
    if min(len(old), len(new)) > 1:
        half = _Z * math.sqrt(float(old.var()) / len(old) + float(new.var()) / len(new))
        lower, upper = gap - half, gap + half
    proven = lower is not None and upper is not None and (lower > 0 if worse > 0 else upper < 0)
    return Finding(
        name=name,
        value=gap,
        lower=lower,
        upper=upper,
        severity="notice" if proven else "info",
        text=f"The champion's {what} is {after:.4g} on the new training rows and {before:.4g} on the old "
        "ones, which it may have learned from.",
        advice="The champion does worse on what is new: there is something to learn." if proven else "",
        details={"new": after, "old": before, "new_examples": len(new), "old_examples": len(old)},
    )


def _gradient_ratio(old: Tensor, new: Tensor) -> Finding:
    ratio = float(new.mean() / old.mean())
    lower, upper = None, None
    if min(len(old), len(new)) > 1 and ratio > 0:
        # The ratio of two means is nearer to normal on the logarithmic scale.
        error = math.sqrt(sum(float(part.var() / part.mean() ** 2) / len(part) for part in (old, new)))
        # Beyond this width nothing is known, and the bound would leave the range of floats.
        width = math.exp(min(_Z * error, 50.0))
        lower, upper = ratio / width, ratio * width
    steep = ratio > _STEEP
    return Finding(
        name="gradient-ratio",
        value=ratio,
        lower=lower,
        upper=upper,
        severity="notice" if steep else "info",
        text=f"The gradient of a new example is {ratio:.3g} times as long as that of an old one, on average.",
        advice="Plain warm starts lose accuracy when this is far above 1; shrinking or tempering balances it."
        if steep
        else "",
        details={"new": float(new.mean()), "old": float(old.mean())},
    )


def _inside(model: nn.Module, new: Examples) -> Iterator[Finding]:
    units, features = health.activations(model, new)
    dead, dormant, total = health.silent_units(units)
    if total:
        sleepy = dormant > _SLEEPY
        yield Finding(
            name="dormant-units",
            value=dormant,
            severity="notice" if sleepy else "info",
            text=f"{dormant:.1%} of {total} units are dormant on the new rows, {dead:.1%} are dead.",
            advice="Many units do nothing: a fresh or tempered start may learn more." if sleepy else "",
            details={"dead": dead, "units": total},
        )
    if features is not None and features.numel():
        rank, width = health.effective_rank(features), features.shape[1]
        yield Finding(
            name="effective-rank",
            value=rank,
            text=f"The features before the last layer have effective rank {rank:.1f} of {width}.",
            details={"width": width},
        )
