"""Warm: begin from the parent's weights as they are.

Problem: training anew after each arrival costs more and more. Continuing from the version before
reaches the same training accuracy in a fraction of the steps: ``theta = theta_parent``, parameters and
buffers.

Do not use it where held-out accuracy counts and data arrive in many rounds trained to convergence: it
then ends below a fresh start (Ash and Adams, arXiv 1910.08475); the other starts of this family mend
that. With a large pre-trained model and little new data it is the right start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from headstart.methods.reuse._shared import need_parent
from headstart.nn.params import inherit_
from headstart.papers import Paper
from headstart.protocols import Parent

__all__ = ["ADAPTER", "PAPER", "Warm", "warm_"]

PAPER = Paper(
    slug="warm",
    title="Continuing from the previous weights (baseline)",
    arxiv="",
    year=2019,
    family="reuse",
    socket="start",
    claim="Fewest steps to the training target; over many rounds it can test worse than a fresh start.",
)


def warm_(model: nn.Module, parent_model: nn.Module) -> nn.Module:
    """Copies the parent's parameters and buffers into ``model``, in place.

    Where ``model`` has grown in the first dimension of a tensor (a class was added) the leading slice is
    copied and the rest keeps its values.

    Returns:
        ``model``.

    Raises:
        InputError: the architectures differ in anything but such growth.
    """
    return inherit_(model, parent_model)


@dataclass(frozen=True)
class Warm:
    """The parent's weights and buffers."""

    data_passes: ClassVar[float] = 0.0
    needs_parent: ClassVar[bool] = True

    def __call__(self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator) -> nn.Module:
        """Fills ``model`` from the parent and returns it.

        Raises:
            InputError: there is no parent, or it has another architecture.
        """
        return warm_(model, need_parent(parent, PAPER.slug).model)


ADAPTER = Warm
