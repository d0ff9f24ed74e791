"""What several starts of this family share: checks of numbers, the parent, the weight matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from headstart.errors import InputError
from headstart.nn.params import Include, first_names, unique_parameters
from headstart.protocols import Parent

__all__ = [
    "LayerWeight",
    "check_flag",
    "check_number",
    "default_bound",
    "layer_weights",
    "need_parent",
    "need_whole",
]

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class LayerWeight:
    """A weight (or bias) of a linear, convolution or attention layer.

    Attributes:
        name: dotted name of the parameter.
        weight: the parameter: (out, in) of a linear map, (out, in / groups, height, width) of a
            2-d convolution, (out,) of a bias.
        parts: how many equal blocks of rows it holds: 3 for the fused query, key and value
            projection of ``nn.MultiheadAttention``, otherwise 1.
        attention: whether it is an input projection of ``nn.MultiheadAttention``.
    """

    name: str
    weight: nn.Parameter
    parts: int = 1
    attention: bool = False


def layer_weights(
    model: nn.Module, include: Include | None = None, *, biases: bool = False
) -> list[LayerWeight]:
    """Weights of all ``nn.Linear``, ``nn.Conv2d`` and ``nn.MultiheadAttention``, each tensor once.

    Args:
        model: the model.
        include: predicate on parameter names; None takes all.
        biases: whether the biases of these layers come too.

    Raises:
        InputError: there is none, one cannot be rewritten, or one holds values that are not finite.
    """
    first = first_names(model)
    found: dict[str, LayerWeight] = {}
    for item in _layers(model, include):
        if biases or item.weight.ndim > 1 or is_lazy(item.weight):
            found.setdefault(first[item.name], item)
    if not found:
        raise InputError(
            "the model has no weight matrix to work on",
            where="model" if include is None else "include",
            got=type(model).__name__,
            fix="pass a model with nn.Linear, nn.Conv2d or nn.MultiheadAttention layers, and an `include` "
            "that accepts some of their weights",
        )
    chosen = unique_parameters(
        model, lambda name: first[name] in found and (include is None or include(name))
    )
    weights = [item for name, item in found.items() if name in chosen]
    for item in weights:
        if not torch.isfinite(item.weight).all():
            raise InputError(
                "a weight holds values that are not finite",
                where=f"parameter {item.name}",
                got="inf or nan",
                fix="start from a version that has not diverged",
            )
    return weights


def default_bound(item: LayerWeight) -> float:
    """PyTorch's default initialization of this weight is uniform on [-bound, bound]."""
    if item.attention:
        return math.sqrt(6 / sum(item.weight.shape))
    return 1 / math.sqrt(max(1, item.weight[0].numel()))


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Checks that a setting is a finite number in [low, high].

    Raises:
        InputError: it is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        limits = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"of at least {low:g}"
        raise InputError(
            f"`{name}` is out of range",
            where=name,
            got=value,
            fix=f"give a finite number {limits}",
        )


def need_whole(name: str, value: int, low: int) -> None:
    """Checks that a setting is an integer of at least ``low``.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"`{name}` is out of range", where=name, got=value, fix=f"give an integer >= {low}")


def check_flag(name: str, value: bool) -> None:
    """Checks that a setting is True or False.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, bool):
        raise InputError(f"`{name}` is no switch", where=name, got=value, fix="give True or False")


def need_parent(parent: Parent | None, slug: str) -> Parent:
    """The parent of a start that cannot do without one.

    Raises:
        InputError: there is none.
    """
    if parent is None:
        raise InputError(
            "this start needs a version to start from",
            where=f"start {slug}",
            got="no parent",
            fix="use the start `scratch` for the first version",
        )
    return parent


def _layers(model: nn.Module, include: Include | None) -> Iterator[LayerWeight]:
    for prefix, module in model.named_modules():
        dot = f"{prefix}." if prefix else ""
        if isinstance(module, nn.Linear | nn.Conv2d):
            names: tuple[str, ...] = ("weight", "bias")
        elif isinstance(module, nn.MultiheadAttention):
            names = (*_PROJECTIONS, "in_proj_bias")
        else:
            continue
        for name in names:
            if include is not None and not include(dot + name):
                continue
            value = getattr(module, name)
            if isinstance(value, nn.Parameter):
                fused = 3 if name.startswith("in_proj") else 1
                yield LayerWeight(dot + name, value, fused, name in _PROJECTIONS)
            elif name == "weight" or value is not None:
                raise InputError(
                    "a weight is computed from other parameters, so it cannot be rewritten",
                    where=f"parameter {dot}{name}",
                    got=f"{type(module).__name__} with a parametrization, weight norm or pruning",
                    fix="remove the parametrization first, or leave the weight out through `include`",
                )
