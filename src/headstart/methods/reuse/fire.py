"""FIRE: replace each weight matrix by the nearest isometry, scaled.

Problem: after long training the weights have a few large singular values and many tiny ones; the network
learns new data badly. The nearest matrix with all singular values equal keeps the directions that were
learned and makes every one of them trainable again. It is reached by Newton-Schulz steps, without data::

    X_0 = W / ||W||_F,   X <- 1.5 X - 0.5 X X^T X   (10 times),   W <- sqrt(d_out / d_in) / (k_h k_w) * X

A convolution is done for each kernel position, the fused query, key and value projection of attention
for each of its three blocks. Biases, normalization and embeddings are left alone. Source: Han et al., "FIRE:
Frobenius-Isometry Reinitialization", arXiv 2602.08040 (ICLR 2026), and its code.

Do not use it when the next training is short: all singular values are discarded, so the loss jumps at
first. In a vision transformer the authors apply it to query and key projections only: use ``include``.

Differences from the official code: a zero matrix stays zero instead of becoming not-a-number, half
precision is computed in float32, and ``nn.MultiheadAttention`` is covered too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from headstart.methods.reuse._shared import LayerWeight, layer_weights, need_parent, need_whole
from headstart.nn.params import Include, clear_grads, clone, inherit_
from headstart.papers import Paper
from headstart.protocols import Parent

__all__ = ["ADAPTER", "PAPER", "Fire", "fire_", "newton_schulz"]

PAPER = Paper(
    slug="fire",
    title="FIRE: Frobenius-Isometry Reinitialization for Balancing the Stability-Plasticity Tradeoff",
    arxiv="2602.08040",
    year=2026,
    family="reuse",
    socket="start",
    claim="Makes each weight matrix an isometry near the old one; as good as a fresh start, no data read.",
    venue="ICLR 2026",
    code="https://github.com/isaac7778/FIRE",
)

# Names under which one nn.Linear commonly holds query, key and value, one block of rows each.
_FUSED = ("c_attn", "qkv", "to_qkv")


def newton_schulz(matrix: Tensor, iterations: int = 10) -> Tensor:
    """Nearest semi-orthogonal matrix (the polar factor) by Newton-Schulz steps.

    Args:
        matrix: (..., m, n); leading dimensions are a batch. Zero matrices stay zero.
        iterations: number of steps, >= 1. Singular values below about 1.5^-iterations of the Frobenius norm
            have not come near 1 yet.

    Returns:
        Tensor of the same shape and dtype; half precision is computed in float32.

    Raises:
        InputError: ``iterations`` is no integer >= 1.
    """
    need_whole("iterations", iterations, 1)
    x = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    wide = x.shape[-1] > x.shape[-2]
    if wide:
        x = x.mT
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    x = x / torch.where(norm > 0, norm, torch.ones_like(norm))
    for _ in range(iterations):
        x = 1.5 * x - 0.5 * x @ (x.mT @ x)
    return (x.mT if wide else x).to(matrix.dtype)


def fire_(model: nn.Module, iterations: int = 10, *, include: Include | None = None) -> nn.Module:
    """Frobenius-isometry reinitialization of all linear, 2-d convolution and attention weights, in place.

    Args:
        model: the trained model.
        iterations: Newton-Schulz steps, >= 1.
        include: predicate on parameter names; what it refuses stays as it is.

    Returns:
        ``model``. Gradients are dropped; biases and buffers stay.

    Raises:
        InputError: there is no weight matrix, or one cannot be rewritten or is not finite. Nothing has
            been written then.
    """
    need_whole("iterations", iterations, 1)
    weights = layer_weights(model, include)
    with torch.no_grad():
        for item in weights:
            for part in item.weight.chunk(_blocks(item)):
                part.copy_(_isometry(part, iterations))
    clear_grads(model)
    return model


def _blocks(item: LayerWeight) -> int:
    layer = item.name.split(".")[-2:-1]
    fused = layer and layer[0] in _FUSED and item.weight.shape[0] == 3 * item.weight.shape[1]
    return 3 if fused else item.parts


def _isometry(weight: Tensor, iterations: int) -> Tensor:
    """The scaled isometry of (out, in), or of (out, in, h, w) for each kernel position."""
    scale = math.sqrt(weight.shape[0] / weight.shape[1]) / math.prod(weight.shape[2:])
    if weight.ndim == 2:
        return newton_schulz(weight, iterations) * scale
    positions = newton_schulz(weight.permute(2, 3, 0, 1), iterations)
    return positions.permute(2, 3, 0, 1) * scale


@dataclass(frozen=True)
class Fire:
    """Isometries near the parent's weights; see :func:`fire_`. Biases and buffers are the parent's."""

    iterations: int = 10

    data_passes: ClassVar[float] = 0.0
    needs_parent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the settings."""
        need_whole("iterations", self.iterations, 1)

    def __call__(self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator) -> nn.Module:
        """Fills ``model`` with the parent made isometric and returns it.

        Raises:
            InputError: there is no parent, or it has another architecture or no weight matrix.
        """
        old = clone(need_parent(parent, PAPER.slug).model)
        return inherit_(model, fire_(old, self.iterations))


ADAPTER = Fire
