"""Optimizers and schedules from settings, and their state as flat tensors and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from headstart.lifecycle.settings import TrainSettings

__all__ = ["lr_factor", "make_optimizer", "make_schedule", "optimizer_state", "restore_optimizer"]


def make_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimizer that the settings name, over the parameters that train."""
    params = [p for p in model.parameters() if p.requires_grad]
    lr, decay = settings.lr, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(params, lr=lr, momentum=settings.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(params, lr=lr, weight_decay=decay)


def lr_factor(step: int, *, shape: str, warmup: int, total: int) -> float:
    """Factor of the learning rate at an optimizer step.

    With w warm-up steps and T steps in all, ``(t + 1) / w`` while t < w. After it, with
    ``u = (t - w) / (T - w)`` cut to [0, 1]: constant 1; linear ``1 - u``; cosine
    ``(1 + cos(pi u)) / 2``; step ``0.1 ** floor(3 u)``.

    Args:
        step: t, from 0.
        shape: constant, linear, cosine or step.
        warmup: w, at least 0.
        total: T, at least 1.
    """
    if step < warmup:
        return (step + 1) / warmup
    u = min(1.0, (step - warmup) / max(1, total - warmup))
    if shape == "linear":
        return 1.0 - u
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * u))
    return 0.1 ** min(2, math.floor(3 * u)) if shape == "step" else 1.0


def make_schedule(settings: TrainSettings) -> Callable[..., LRScheduler]:
    """The schedule that the settings describe, as a function of an optimizer and ``total_steps``."""

    def build(optimizer: Optimizer, *, total_steps: int | None) -> LRScheduler:
        total = total_steps or 1
        shape, warmup = settings.schedule, settings.warmup_steps
        return LambdaLR(optimizer, lambda t: lr_factor(t, shape=shape, warmup=warmup, total=total))

    return build


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by ``<parameter number>.<name>``, and the rest as JSON values."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                plain[f"{index}.{name}"] = value
    return tensors, {"groups": state["param_groups"], "state": plain}


def restore_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], document: Mapping[str, Any]
) -> None:
    """Puts back what :func:`optimizer_state` took."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *document["state"].items()]:
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in document["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
