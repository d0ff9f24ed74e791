"""Spectral tempering: flatten the spectrum of the old weights partly and move their norm a little.

Problem: the starts that give a warm start back its accuracy cost most of a fresh start's steps. Flattening
the singular values partly, and moving the norm only a little towards that of a fresh initialization, gives
a range of starts between the plain warm start and an isometry. For a weight matrix W = U diag(s) V^T and a
freshly initialized W0 of the same layer::

    t_i = max(s_i, 1e-8)^power        target = ||W||_F^(1 - pull) * ||W0||_F^pull
    W  <- target / ||t||_2 * U diag(t) V^T

(power, pull) = (1, 0) is the plain warm start, bit for bit; (0, 1) is FIRE up to its scale. Useful settings:
(0.5, 0.1) cheap, (0.5, 0.25) middle, (0, 1) accuracy first. A convolution is flattened to out x (in h w).
Biases, normalization and embeddings are left alone.

Headstart's own; there is no paper, and we know of no earlier publication of this two-knob form. Related:
FIRE (arXiv 2602.08040), spectral regularization for continual learning (2406.06811), soft weight rescaling
(2507.04683: the norm only, at every step), parametric singularity smoothing (2602.01308), and the
orthogonalized updates of Muon.

A zero matrix has no directions to keep and becomes the fresh weight. A layer whose fresh weights are zero
offers no norm to move to, so its norm stays.

Do not expect it to be best everywhere: on sparse text inputs shrink-perturb was more accurate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from headstart.methods.reuse._shared import (
    LayerWeight,
    check_flag,
    check_number,
    default_bound,
    layer_weights,
    need_parent,
)
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
)
from headstart.papers import Paper
from headstart.protocols import Parent

__all__ = ["ADAPTER", "PAPER", "SpectralTemper", "spectral_temper_", "temper_matrix"]

PAPER = Paper(
    slug="spectral-temper",
    title="Spectral tempering: a start between the old weights and an isometry",
    arxiv="",
    year=2026,
    family="reuse",
    socket="start",
    claim="Flattens the old spectra partly: near a fresh start's accuracy at about half of its steps.",
)

_FLOOR = 1e-8


def temper_matrix(weight: Tensor, power: float, pull: float, *, fresh_norm: float) -> Tensor:
    """Tempered copy of one matrix; see the module's equation.

    Args:
        weight: (m, n), finite. A zero matrix, which has no directions to keep, gives zeros.
        power: exponent of the singular values, in [0, 1]; 0 makes them equal, 1 keeps them.
        pull: weight of the fresh norm in the geometric mean, in [0, 1].
        fresh_norm: Frobenius norm of a freshly initialized matrix, >= 0.

    Returns:
        (m, n), same dtype; half precision is decomposed in float32.

    Raises:
        InputError: a setting is out of range.
    """
    _check(power, pull)
    check_number("fresh_norm", fresh_norm, 0)
    if power == 1 and pull == 0:
        return weight.clone()
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    norm = torch.linalg.vector_norm(wide, dtype=torch.float64)
    if norm == 0:
        return torch.zeros_like(weight)
    target = norm ** (1 - pull) * fresh_norm**pull
    u, s, vh = torch.linalg.svd(wide, full_matrices=False)
    t = s.double().clamp(min=_FLOOR) ** power
    tempered: Tensor = (u * (target / torch.linalg.vector_norm(t) * t).to(u.dtype)) @ vh
    return tempered.to(weight.dtype)


def spectral_temper_(
    model: nn.Module,
    power: float = 0.5,
    pull: float = 0.1,
    *,
    fresh: Fresh = None,
    include: Include | None = None,
    reset_buffers: bool = True,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Tempers all linear, 2-d convolution and attention weights, in place.

    Args:
        model: the trained model.
        power: exponent of the singular values, in [0, 1].
        pull: how far the norm moves to that of a fresh initialization, in [0, 1].
        fresh: a freshly built model (not changed) or a function that builds one, which gives the fresh
            norms; None takes PyTorch's default initialization in closed form, sqrt(numel / (3 fan_in))
            for linear and convolution layers.
        include: predicate on parameter and buffer names; what it refuses stays as it is.
        reset_buffers: whether running statistics (with ``fresh``: all buffers) go back to fresh values.
        generator: source of the draws (``fresh()``, and the fresh weight a zero matrix becomes); the global
            random state then stays untouched.

    Returns:
        ``model``. Gradients are dropped; biases stay.

    Raises:
        InputError: a setting is out of range, there is no weight matrix, one cannot be rewritten or is not
            finite, or ``fresh`` has another architecture. Nothing has been written then.
    """
    _check(power, pull)
    weights = layer_weights(model, include)
    source = None if fresh is None else fresh_copy(model, fresh, generator)
    buffers = reset_pairs(model, source, include) if reset_buffers else []
    if not (power == 1 and pull == 0):
        with torch.no_grad():
            for item in weights:
                new = None if source is None else source.get_parameter(item.name)
                _temper_(item, power, pull, new, generator)
    copy_pairs_(buffers)
    clear_grads(model)
    return model


def _temper_(
    item: LayerWeight, power: float, pull: float, fresh: Tensor | None, generator: torch.Generator | None
) -> None:
    bound = default_bound(item)
    blocks = [None] * item.parts if fresh is None else fresh.chunk(item.parts)
    for part, new in zip(item.weight.chunk(item.parts), blocks, strict=True):
        if not part.any():
            part.copy_(_uniform(part, bound, generator) if new is None else new)
            continue
        if new is None:
            fresh_norm = bound * math.sqrt(part.numel() / 3)
        else:
            fresh_norm = float(torch.linalg.vector_norm(new, dtype=torch.float64))
        tempered = temper_matrix(part.flatten(1), power, pull if fresh_norm else 0, fresh_norm=fresh_norm)
        part.copy_(tempered.reshape(part.shape))


def _uniform(like: Tensor, bound: float, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return (torch.rand(like.shape, generator=generator, device=device) * 2 - 1) * bound


def _check(power: float, pull: float) -> None:
    check_number("power", power, 0, 1)
    check_number("pull", pull, 0, 1)


@dataclass(frozen=True)
class SpectralTemper:
    """Tempers the parent's weights towards the fresh model's norms; see :func:`spectral_temper_`."""

    power: float = 0.5
    pull: float = 0.1
    reset_buffers: bool = True

    data_passes: ClassVar[float] = 0.0
    needs_parent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings."""
        _check(self.power, self.pull)
        check_flag("reset_buffers", self.reset_buffers)

    def __call__(self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator) -> nn.Module:
        """Fills ``model`` with the tempered parent and returns it.

        Raises:
            InputError: there is no parent, or it has another architecture or no weight matrix.
        """
        old = clone(need_parent(parent, PAPER.slug).model)
        spectral_temper_(
            old,
            self.power,
            self.pull,
            fresh=leading_copy(model, old),
            reset_buffers=self.reset_buffers,
            generator=generator,
        )
        return inherit_(model, old)


ADAPTER = SpectralTemper
