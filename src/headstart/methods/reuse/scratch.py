"""Scratch: begin from a fresh initialization, the start that every other start is measured against.

Problem: a start that reuses old weights is worth having only if it beats forgetting them. The equation
is ``theta = phi``: the parameters of a freshly built model.

Do not use it where earlier versions save training steps without loss of accuracy; the race tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from headstart.nn.params import (
    Fresh,
    buffer_pairs,
    clear_grads,
    copy_pairs_,
    fresh_copy,
    unique_parameters,
)
from headstart.papers import Paper
from headstart.protocols import Parent

__all__ = ["ADAPTER", "PAPER", "Scratch", "scratch_"]

PAPER = Paper(
    slug="scratch",
    title="Training from a fresh initialization (baseline)",
    arxiv="",
    year=2019,
    family="reuse",
    socket="start",
    claim="The reference for every other start: a fresh initialization, accurate and dear in steps.",
)


def scratch_(model: nn.Module, *, fresh: Fresh = None, generator: torch.Generator | None = None) -> nn.Module:
    """Draws all parameters afresh and resets all buffers, in place.

    Args:
        model: the model to reset.
        fresh: a freshly built model, a function that builds one, or None to call
            ``reset_parameters()`` on each submodule.
        generator: source of the draws; the global random state then stays untouched.

    Returns:
        ``model``.

    Raises:
        InputError: a parameter cannot be drawn afresh, or ``fresh`` has another architecture.
    """
    params = unique_parameters(model)
    source = fresh_copy(model, fresh, generator)
    pairs = buffer_pairs(model, source)
    copy_pairs_([(param, source.get_parameter(name)) for name, param in params.items()] + pairs)
    clear_grads(model)
    return model


@dataclass(frozen=True)
class Scratch:
    """Leaves the fresh model as it is; a parent is not needed."""

    data_passes: ClassVar[float] = 0.0
    needs_parent: ClassVar[bool] = False

    def __call__(self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator) -> nn.Module:
        """Returns ``model``, without gradients."""
        clear_grads(model)
        return model


ADAPTER = Scratch
