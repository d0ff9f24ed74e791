"""Shrink and perturb: shrink the old weights and add a little fresh initialization.

Problem: a model is trained anew on all data after each arrival. Beginning from the last version saves
steps but tests worse than a fresh start. Shrinking the weights towards zero and adding a little of a
fresh draw keeps most of the saving and gives back the accuracy::

    theta <- shrink * theta + perturb * phi        phi: parameters of a freshly initialized model

(1, 0) is the plain warm start and (0, 1) a fresh start. Source: Ash and Adams, "On Warm-Starting Neural
Network Training", arXiv 1910.08475, and its code, whose form and defaults (0.4, 0.1, all parameters,
buffers reset) these are. The paper's text writes the noise as a Gaussian of one scale: ``noise="gaussian"``.

Do not use it on a large pre-trained model with few new data (shrinking destroys knowledge: take a shrink
of 0.95 or more), nor on deep networks without normalization. Build a **new optimizer** afterwards: old
moments belong to the old weights (:func:`warn_if_moments`).

Differences from the official code: in place on the old model rather than on the fresh one, a shared
tensor once, and nothing is done before the first round.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from headstart.errors import InputError
from headstart.methods.reuse._shared import check_flag, check_number, need_parent
from headstart.nn.params import (
    Fresh,
    Include,
    clear_grads,
    clone,
    copy_pairs_,
    fresh_copy,
    inherit_,
    leading_copy,
    reset_pairs,
    unique_parameters,
)
from headstart.papers import Paper
from headstart.protocols import Parent

__all__ = [
    "ADAPTER",
    "PAPER",
    "ShrinkPerturb",
    "shrink_perturb",
    "shrink_perturb_",
    "warn_if_moments",
]

PAPER = Paper(
    slug="shrink-perturb",
    title="On Warm-Starting Neural Network Training",
    arxiv="1910.08475",
    year=2019,
    family="reuse",
    socket="start",
    claim="Gives a warm start the held-out accuracy of a fresh one while saving a good part of its steps.",
    venue="NeurIPS 2020",
    code="https://github.com/JordanAsh/warm_start",
)

Noise = Literal["fresh", "gaussian"]


def shrink_perturb(theta: Tensor, phi: Tensor, shrink: float, perturb: float) -> Tensor:
    """``shrink * theta + perturb * phi`` as a new tensor of the dtype and device of ``theta``.

    A factor of zero leaves its term out, so that (1, 0) and (0, 1) are bit-identical to their ends.
    """
    phi = phi.to(device=theta.device, dtype=theta.dtype)
    if perturb == 0:
        return theta * shrink
    if shrink == 0:
        return phi * perturb
    return theta * shrink + phi * perturb


def shrink_perturb_(
    model: nn.Module,
    shrink: float = 0.4,
    perturb: float = 0.1,
    *,
    fresh: Fresh = None,
    generator: torch.Generator | None = None,
    include: Include | None = None,
    reset_buffers: bool = True,
    noise: Noise = "fresh",
) -> nn.Module:
    """Shrinks the parameters and adds a fresh draw, in place: ``theta <- shrink theta + perturb phi``.

    Applies to every parameter: weights, biases, normalization gains and offsets, frozen ones as well
    (leave those out through ``include``). Gradients are dropped.

    Args:
        model: the trained model.
        shrink: factor of the old parameters, in [0, 1].
        perturb: factor of the fresh parameters, >= 0; with ``noise="gaussian"`` the standard deviation.
        fresh: a freshly built model (not changed), a function that builds one, or None to call
            ``reset_parameters()`` on each submodule of a copy.
        generator: source of the draws; the global random state then stays untouched.
        include: predicate on parameter and buffer names; what it refuses stays as it is.
        reset_buffers: whether buffers go back to their fresh values. Running statistics belong to the
            old weights, so keeping them spoils the first evaluations.
        noise: "fresh" adds ``perturb`` times a freshly initialized model, so that each layer has its own
            scale; "gaussian" adds N(0, perturb^2) to every entry.

    Returns:
        ``model``.

    Raises:
        InputError: a factor is out of range, a parameter cannot be rewritten or drawn afresh, or
            ``fresh`` has another architecture. Nothing has been written then.
    """
    _check(shrink, perturb, noise)
    params = unique_parameters(model, include)
    source = None
    if fresh is not None or (perturb > 0 and noise == "fresh"):
        source = fresh_copy(model, fresh, generator, include=include)
    buffers = reset_pairs(model, source, include) if reset_buffers else []
    with torch.no_grad():
        for name, param in params.items():
            if perturb == 0:
                param.mul_(shrink)
            elif noise == "gaussian" or source is None:
                param.copy_(shrink_perturb(param, _gaussian(param, generator), shrink, perturb))
            else:
                param.copy_(shrink_perturb(param, source.get_parameter(name), shrink, perturb))
    copy_pairs_(buffers)
    clear_grads(model)
    return model


def warn_if_moments(optimizer: Optimizer) -> None:
    """Warns when an optimizer already holds state (moments), which no start carries over.

    Call it with the optimizer meant for the next run, after the start: a model does not know its
    optimizer, so the starts cannot check this themselves.
    """
    if optimizer.state:
        warnings.warn(
            f"{type(optimizer).__name__} holds the state of {len(optimizer.state)} parameters from before "
            "the weights were rewritten; build a new optimizer",
            stacklevel=2,
        )


def _check(shrink: float, perturb: float, noise: str) -> None:
    check_number("shrink", shrink, 0, 1)
    check_number("perturb", perturb, 0)
    if noise not in ("fresh", "gaussian"):
        raise InputError("unknown kind of noise", where="noise", got=noise, fix='use "fresh" or "gaussian"')


def _gaussian(param: Tensor, generator: torch.Generator | None) -> Tensor:
    # Drawn where the generator lives, so that a CPU generator gives the same noise to any device.
    device = param.device if generator is None else generator.device
    return torch.randn(param.shape, generator=generator, device=device)


@dataclass(frozen=True)
class ShrinkPerturb:
    """``shrink`` times the parent plus ``perturb`` times the fresh model; see :func:`shrink_perturb_`."""

    shrink: float = 0.4
    perturb: float = 0.1
    noise: Noise = "fresh"
    reset_buffers: bool = True

    data_passes: ClassVar[float] = 0.0
    needs_parent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings."""
        _check(self.shrink, self.perturb, self.noise)
        check_flag("reset_buffers", self.reset_buffers)

    def __call__(self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator) -> nn.Module:
        """Mixes the parent into the fresh ``model`` and returns it.

        Raises:
            InputError: there is no parent, or it has another architecture.
        """
        old = clone(need_parent(parent, PAPER.slug).model)
        shrink_perturb_(
            old,
            self.shrink,
            self.perturb,
            fresh=leading_copy(model, old),
            generator=generator,
            noise=self.noise,
            reset_buffers=self.reset_buffers,
        )
        return inherit_(model, old)


ADAPTER = ShrinkPerturb
