"""Warm: the parent's weights and buffers, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from headstart.errors import InputError
from headstart.methods.reuse.warm import Warm, warm_
from headstart.protocols import Parent


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def build(classes: int = 2) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))
    model(torch.randn(8, 5) + 2)
    return model


def test_copies_parameters_and_buffers_bit_for_bit() -> None:
    model, parent = build(), build()
    assert warm_(model, parent) is model
    assert all(torch.equal(value, parent.state_dict()[name]) for name, value in model.state_dict().items())
    parent[0].weight.data.zero_()
    assert model[0].weight.any()  # a copy, not a view


def test_a_new_class_keeps_its_fresh_row() -> None:
    model, parent = build(3), build(2)
    before = copy.deepcopy(model)
    Warm()(model, Parent(parent), generator=torch.Generator())
    assert torch.equal(model[2].weight, torch.cat([parent[2].weight, before[2].weight[2:]]))
    assert torch.equal(model[2].bias, torch.cat([parent[2].bias, before[2].bias[2:]]))


def test_needs_a_parent_of_the_same_architecture() -> None:
    with pytest.raises(InputError, match="scratch"):
        Warm()(build(), None, generator=torch.Generator())
    with pytest.raises(InputError, match="does not continue"):
        warm_(build(2), build(3))
