"""DASH: shrink each weight vector by how little it points where the data pull.

Problem: a warm start remembers noise of the old data and tests worse than a fresh start. Shrinking all
weights alike also shrinks what was learned well. DASH averages the negative gradient over the data seen so
far, one batch per arrival, and scales slices of the weights by their cosine with it::

    g <- (1 - alpha) g + alpha (-dL/dw)            over the batches in order, weights held fixed
    w <- w * clamp(cos(g, w), shrink, 1)           per slice

A slice is an output row of ``nn.Linear``, one kernel (output, input) of ``nn.Conv2d``, or a whole bias.
Normalization layers and embeddings are left alone; no noise is added. Source: Shin, Oh, Cho and Yun,
arXiv 2410.23495, and its code (defaults 0.3, 0.3).

Do not use it when the old data are gone: it costs one forward and backward pass over them,
about 0.7 of an epoch on small models (`benchmarks/starts.py`).

Differences from the official code: ``nn.MultiheadAttention`` is treated as the linear layers it holds; a
parameter that gets no gradient (frozen, unused) is left alone; cosines are computed after scaling by the
largest entry, so they do not fade for tiny gradients. The official training keeps the optimizer and its
momentum across rounds; here, as for all starts, a new one is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from headstart.errors import InputError
from headstart.methods.reuse._shared import LayerWeight, check_number, layer_weights, need_parent
from headstart.nn.params import Include, clear_grads, clone, drawing_from, inherit_, leading_copy
from headstart.papers import Paper
from headstart.protocols import Parent

__all__ = ["ADAPTER", "PAPER", "Dash", "dash_", "direction_scale"]

PAPER = Paper(
    slug="dash",
    title="DASH: Warm-Starting Neural Network Training in Stationary Settings without Loss of Plasticity",
    arxiv="2410.23495",
    year=2024,
    family="reuse",
    socket="start",
    claim="Shrinks weights by their agreement with the gradient of all data, keeping what was learned well.",
    venue="NeurIPS 2024",
    code="https://github.com/baekrok/DASH-Direction-Aware-SHrinking",
)


def direction_scale(weight: Tensor, direction: Tensor, shrink: float) -> Tensor:
    """Factors ``clamp(cos(direction, weight), shrink, 1)``, shaped to multiply ``weight``.

    Args:
        weight: (out,) one factor; (out, in) one for each row; (out, in, h, w) one for each kernel.
        direction: the averaged negative gradient, of the same shape.
        shrink: least factor, in [0, 1].

    Returns:
        Factors of shape (1,), (out, 1) or (out, in, 1, 1).
    """
    start = 2 if weight.ndim == 4 else weight.ndim - 1
    ours, theirs = (_unit_peak(value.flatten(start)) for value in (weight, direction))
    scale = cosine_similarity(theirs, ours, dim=-1).clamp(min=shrink, max=1)
    return scale.reshape(*weight.shape[:start], *(1,) * (weight.ndim - start))


def dash_(
    model: nn.Module,
    batches: Iterable[tuple[Any, Tensor]],
    loss_fn: Callable[[Any, Tensor], Tensor],
    shrink: float = 0.3,
    alpha: float = 0.3,
    *,
    include: Include | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Direction-aware shrinking, in place.

    The gradients are taken on a deep copy in training mode, so running statistics, gradients and mode of
    ``model`` do not change.

    Args:
        model: the trained model.
        batches: ``(inputs, targets)`` pairs on the device of the model, one large batch per arrival,
            oldest first. Inputs that are a tuple are passed as several arguments.
        loss_fn: ``loss_fn(outputs, targets)``, a scalar.
        shrink: least factor, in [0, 1]; 1 changes nothing.
        alpha: weight of the newest batch in the average, in (0, 1].
        include: predicate on parameter names; what it refuses stays as it is.
        generator: source of the draws of dropout and data order; the global random state then stays
            untouched.

    Returns:
        ``model``.

    Raises:
        InputError: a setting is out of range, there is no batch or no layer, or a loss or gradient
            cannot be used. Nothing has been written then.
    """
    _check(shrink, alpha)
    weights = layer_weights(model, include, biases=True)
    with drawing_from(generator), torch.enable_grad():
        directions = _directions(model, weights, batches, loss_fn, alpha)
    with torch.no_grad():
        for item, direction in zip(weights, directions, strict=True):
            if direction is None:
                continue
            blocks = zip(item.weight.chunk(item.parts), direction.chunk(item.parts), strict=True)
            for part, pull in blocks:
                part.mul_(direction_scale(part.to(pull.dtype), pull, shrink).to(part.dtype))
    clear_grads(model)
    return model


def _directions(
    model: nn.Module,
    weights: list[LayerWeight],
    batches: Iterable[tuple[Any, Tensor]],
    loss_fn: Callable[[Any, Tensor], Tensor],
    alpha: float,
) -> list[Tensor | None]:
    """Averages of the negative gradient, in float32 or wider; None where there was no gradient."""
    twin = clone(model).train()
    params = [twin.get_parameter(item.name) for item in weights]
    live = [index for index, param in enumerate(params) if param.requires_grad]
    average: list[Tensor | None] = [None] * len(params)
    if not live:
        raise _unusable(
            "no chosen parameter requires a gradient", "model", "requires_grad is False everywhere"
        )
    count = 0
    for count, batch in enumerate(batches, start=1):
        loss = _loss(twin, batch, loss_fn, count)
        grads = torch.autograd.grad(loss, [params[index] for index in live], allow_unused=True)
        for index, grad in zip(live, grads, strict=True):
            average[index] = _averaged(average[index], grad, alpha)
    if not count:
        raise _unusable("there is no data to take gradients of", "batches", "no batch")
    for item, pull in zip(weights, average, strict=True):
        if pull is not None and not torch.isfinite(pull).all():
            raise _unusable("a gradient is not finite", f"parameter {item.name}", "inf or nan")
    return average


def _averaged(old: Tensor | None, grad: Tensor | None, alpha: float) -> Tensor | None:
    """``(1 - alpha) old - alpha grad``, where None stands for zero."""
    kept = None if old is None else old * (1 - alpha)
    if grad is None:
        return kept
    pull = grad.to(torch.promote_types(grad.dtype, torch.float32)) * -alpha
    return pull if kept is None else kept + pull


def _loss(twin: nn.Module, batch: Any, loss_fn: Callable[[Any, Tensor], Tensor], count: int) -> Tensor:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise _unusable("a batch is no (inputs, targets) pair", f"batch {count}", type(batch).__name__)
    inputs, targets = batch
    outputs = twin(*inputs) if isinstance(inputs, tuple) else twin(inputs)
    loss = loss_fn(outputs, targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise _unusable("the loss is no scalar with a gradient", f"batch {count}", got)
    return loss


def _unusable(what: str, where: str, got: str) -> InputError:
    fix = "give (inputs, targets) batches and a loss whose gradient reaches the model's weights"
    return InputError(what, where=where, got=got, fix=fix)


def _unit_peak(rows: Tensor) -> Tensor:
    """Each row divided by its largest magnitude, zero rows as they are."""
    peak = rows.abs().amax(dim=-1, keepdim=True)
    return rows / torch.where(peak > 0, peak, torch.ones_like(peak))


def _check(shrink: float, alpha: float) -> None:
    check_number("shrink", shrink, 0, 1)
    check_number("alpha", alpha, 0, 1)
    if alpha == 0:
        raise InputError("`alpha` is out of range", where="alpha", got=alpha, fix="give a number in (0, 1]")


@dataclass(frozen=True)
class Dash:
    """Direction-aware shrinking of the parent's weights; see :func:`dash_`. Buffers are the parent's."""

    shrink: float = 0.3
    alpha: float = 0.3

    data_passes: ClassVar[float] = 1.0
    needs_parent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings."""
        _check(self.shrink, self.alpha)

    def __call__(self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator) -> nn.Module:
        """Fills ``model`` with the shrunken parent and returns it.

        Raises:
            InputError: there is no parent, it has no data or loss, or it has another architecture.
        """
        parent = need_parent(parent, PAPER.slug)
        if parent.batches is None or parent.loss is None:
            raise InputError(
                "this start reads the earlier data and the loss",
                where=f"start {PAPER.slug}",
                got="no batches" if parent.batches is None else "no loss",
                fix="keep the rows of arrivals, or choose a start without a data pass: fire, shrink-perturb",
            )
        working = inherit_(clone(model), parent.model)
        with drawing_from(generator):
            dash_(working, parent.batches(), parent.loss, self.shrink, self.alpha)
        # Rows that the parent did not have keep their fresh values.
        return inherit_(model, leading_copy(working, parent.model))


ADAPTER = Dash
