"""Health of a model: gradients of new and old examples, dead units, rank of its features, weight norm."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from headstart.lifecycle.tasks.base import Examples, Task

__all__ = ["activations", "effective_rank", "gradient_norms", "silent_units", "weight_norm"]

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU)


def gradient_norms(task: Task, model: nn.Module, examples: Examples, count: int = 64) -> Tensor:
    """(k,) gradient norm of the loss of single examples, the first ``count`` of them."""
    params = [p for p in model.parameters() if p.requires_grad]
    device = params[0].device
    norms = []
    with _evaluating(model):
        for index in range(min(count, len(examples))):
            one = examples.take(torch.tensor([index]))
            inputs = one.inputs if isinstance(one.inputs, tuple) else (one.inputs,)
            outputs = model(*(part.to(device) for part in inputs))
            loss = task.loss(outputs, one.targets.to(device))
            gradients = torch.autograd.grad(loss, params, allow_unused=True)
            norms.append(math.sqrt(sum(float(g.pow(2).sum()) for g in gradients if g is not None)))
    return torch.tensor(norms)


@torch.no_grad()
def activations(model: nn.Module, examples: Examples, count: int = 512) -> tuple[list[Tensor], Tensor | None]:
    """Mean absolute activation of each unit after a rectifier, and the inputs of the last linear layer."""
    device = next(model.parameters()).device
    units: list[Tensor] = []
    features: list[Tensor] = []
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    handles = [
        module.register_forward_hook(lambda _m, _i, out: units.append(_per_unit(out)))
        for module in model.modules()
        if isinstance(module, _RECTIFIERS)
    ]
    if linear:
        handles.append(linear[-1].register_forward_hook(lambda _m, inputs, _o: features.append(inputs[0])))
    try:
        with _evaluating(model):
            part = examples.take(torch.arange(min(count, len(examples))))
            inputs = part.inputs if isinstance(part.inputs, tuple) else (part.inputs,)
            model(*(tensor.to(device) for tensor in inputs))
    finally:
        for handle in handles:
            handle.remove()
    last = features[-1].flatten(0, -2).float().cpu() if features else None
    return units, last


def silent_units(units: list[Tensor], threshold: float = 0.025) -> tuple[float, float, int]:
    """Share of units that never answer, share that are dormant, and how many units there are.

    A unit is dormant when its mean absolute activation is at most ``threshold`` times its layer's mean
    (Sokar et al., arXiv 2302.12902); the dead ones are among them.
    """
    total = sum(len(layer) for layer in units)
    if not total:
        return 0.0, 0.0, 0
    dead = sum(int((layer == 0).sum()) for layer in units)
    dormant = sum(int((layer <= threshold * layer.mean()).sum()) for layer in units)
    return dead / total, dormant / total, total


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the normalized singular values of (n, d) features (Roy and Vetterli, 2007)."""
    values = torch.linalg.svdvals(features[:2000].double())
    shares = values / values.sum().clamp(min=1e-12)
    shares = shares[shares > 0]
    return float(torch.exp(-(shares * shares.log()).sum())) if len(shares) else 0.0


def weight_norm(model: nn.Module) -> float:
    """Euclidean norm of all parameters together."""
    return math.sqrt(sum(float(p.detach().double().pow(2).sum()) for p in model.parameters()))


def _per_unit(output: Any) -> Tensor:
    values = output.detach().float().abs()
    # Units are channels of images (B, C, H, W) and the last dimension of everything else.
    dims = [0, 2, 3] if values.ndim == 4 else list(range(values.ndim - 1))
    means: Tensor = values.mean(dim=dims).cpu()
    return means


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
