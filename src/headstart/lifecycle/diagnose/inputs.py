"""Encoded inputs as one plain table, whatever they are: numbers, images or tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.lifecycle.diagnose.shift import Array, sample
from headstart.lifecycle.tasks.base import Examples, Schema

__all__ = ["column_names", "input_table"]

_ROWS = 2000
_WIDEST = 512


def input_table(examples: Examples, random: np.random.Generator) -> Array:
    """(n, d) numbers that stand for the inputs: n at most 2,000 rows, d at most 512 for each input.

    Numbers and images are flattened and thinned evenly; whole numbers are taken for tokens and become
    shares of each token in the row. Examples of one row (windows of a text) are averaged, since they
    are not independent. What is not finite counts as 0.
    """
    rows = examples.rows if examples.rows is not None else torch.arange(len(examples))
    kinds, codes = torch.unique(rows, return_inverse=True)
    drawn = torch.zeros(len(kinds), dtype=torch.bool)
    drawn[torch.from_numpy(sample(len(kinds), _ROWS, random))] = True
    part, (_, codes) = examples.take(torch.nonzero(drawn[codes]).flatten()), _renumber(codes, drawn)
    inputs = part.inputs if isinstance(part.inputs, tuple) else (part.inputs,)
    table = torch.cat([_plain(tensor) for tensor in inputs], dim=1)
    sums = torch.zeros(int(drawn.sum()), table.shape[1], dtype=torch.float64).index_add_(0, codes, table)
    return np.asarray((sums / torch.bincount(codes, minlength=len(sums))[:, None]).numpy())


def column_names(schema: Schema, examples: Examples) -> list[str]:
    """Name of every encoded input column, or nothing where columns have no names (texts, images)."""
    names: list[str] = []
    for name, column in schema.columns.items():
        values, width = column.get("values"), len(column.get("mean", ()))
        if values:
            names += [f"{name}={value}" for value in values]
        else:
            names += [name] if width == 1 else [f"{name}[{i}]" for i in range(width)]
    inputs: Any = examples.inputs
    plain = isinstance(inputs, Tensor) and inputs.ndim == 2 and inputs.shape[1] == len(names) <= _WIDEST
    return names if plain else []


def _renumber(codes: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    numbers = torch.cumsum(drawn, 0) - 1
    return numbers, numbers[codes[drawn[codes]]]


def _plain(inputs: Tensor) -> Tensor:
    flat = inputs.reshape(len(inputs), -1)
    if not inputs.is_floating_point() and inputs.dtype not in (torch.uint8, torch.bool):
        shares = torch.zeros(len(flat), _WIDEST, dtype=torch.float64)
        one = torch.full(flat.shape, 1 / flat.shape[1], dtype=torch.float64)
        return shares.scatter_add_(1, flat.long() % _WIDEST, one)
    stride = -(-flat.shape[1] // _WIDEST) or 1
    return torch.nan_to_num(flat[:, ::stride].double(), nan=0.0, posinf=0.0, neginf=0.0)
