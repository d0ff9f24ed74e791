"""Health of a model: loss and gradient of single examples, silent units, rank of features, weight norm."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from headstart.lifecycle.tasks.base import Examples, Task

__all__ = [
    "activations",
    "effective_rank",
    "evaluating",
    "losses_and_gradients",
    "silent_units",
    "weight_norm",
]

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU)
_MOST_FEATURES = 1000


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode inside the block; after it, every submodule in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def losses_and_gradients(task: Task, model: nn.Module, examples: Examples) -> tuple[Tensor, Tensor]:
    """Loss and gradient norm of single examples; those that are not finite are left out.

    Args:
        task: gives the loss.
        model: read only: no gradient is stored in it.
        examples: k of them; one forward and one backward pass each.

    Returns:
        (k,) losses and (k,) norms over all trainable parameters, double precision, on the CPU.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    values = []
    # cuDNN has no backward pass for recurrent layers in evaluation mode.
    with evaluating(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for index in range(len(examples)):
            one = examples.take(torch.tensor([index]))
            loss = task.loss(_outputs(model, one), one.targets.to(_device(model)))
            gradients = torch.autograd.grad(loss, params, allow_unused=True) if params else ()
            squares = sum(float(g.detach().double().pow(2).sum()) for g in gradients if g is not None)
            values.append((float(loss.detach()), math.sqrt(squares)))
    table = torch.tensor(values, dtype=torch.float64).reshape(-1, 2)
    table = table[table.isfinite().all(dim=1)]
    return table[:, 0], table[:, 1]


@torch.no_grad()
def activations(model: nn.Module, examples: Examples) -> tuple[list[Tensor], Tensor | None]:
    """What the model computes inside, read through forward hooks.

    Units are read after ``nn.ReLU``, ``GELU``, ``SiLU`` and their like; what a model computes by plain
    functions (``torch.relu``) is not seen.

    Args:
        model: read only.
        examples: n of them, in one batch.

    Returns:
        Mean absolute activation of each unit, one tensor (units,) for each layer; and the inputs
        (m, d) of the last linear layer, or None without one.
    """
    units: list[Tensor] = []
    features: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...], _output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim >= 2:
            features.append(inputs[0].flatten(0, -2).float().cpu())

    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    handles = [
        module.register_forward_hook(lambda _m, _i, output: units.append(_per_unit(output)))
        for module in model.modules()
        if isinstance(module, _RECTIFIERS)
    ]
    handles += [module.register_forward_hook(keep) for module in linear[-1:]]
    try:
        with evaluating(model):
            _outputs(model, examples)
    finally:
        for handle in handles:
            handle.remove()
    return units, features[-1] if features else None


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
    """exp of the entropy of the normalized singular values (Roy and Vetterli, 2007).

    Args:
        features: (n, d), of which the first 1,000 rows count; rows that are not finite are left out.

    Returns:
        Between 1 and min(n, d); 0 when every feature is 0.
    """
    rows = features[features.isfinite().all(dim=1)][:_MOST_FEATURES].double()
    values = torch.linalg.svdvals(rows)
    shares = values[values > 0] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum())) if len(shares) else 0.0


def weight_norm(model: nn.Module) -> float:
    """Euclidean norm of all parameters together."""
    return math.sqrt(sum(float(p.detach().double().pow(2).sum()) for p in model.parameters()))


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _outputs(model: nn.Module, examples: Examples) -> Any:
    inputs = examples.inputs if isinstance(examples.inputs, tuple) else (examples.inputs,)
    return model(*(part.to(_device(model)) for part in inputs))


def _per_unit(output: Tensor) -> Tensor:
    values = output.detach().float().abs()
    if values.ndim >= 4:  # channels of images and volumes: (B, C, H, W), (B, C, D, H, W)
        values = values.movedim(1, -1)
    means: Tensor = values.reshape(-1, values.shape[-1]).mean(dim=0).cpu()
    return means
