"""Scratch: everything drawn afresh, nothing of the old weights left."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from headstart.errors import InputError
from headstart.methods.reuse.scratch import Scratch, scratch_


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def model_with_statistics() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model(torch.randn(8, 5) + 2).sum().backward()
    return model


def test_equals_a_newly_built_model_of_the_same_draws() -> None:
    model = model_with_statistics()
    torch.manual_seed(5)
    expected = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    torch.manual_seed(5)
    assert scratch_(model) is model
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in model.state_dict().items())
    assert all(param.grad is None for param in model.parameters())


def test_takes_the_values_of_a_given_model() -> None:
    model, fresh = model_with_statistics(), model_with_statistics()
    scratch_(model, fresh=fresh)
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in model.state_dict().items())
    assert model[0].weight is not fresh[0].weight


def test_the_adapter_leaves_the_fresh_model_and_needs_no_parent() -> None:
    model = model_with_statistics()
    before = copy.deepcopy(model.state_dict())
    assert Scratch()(model, None, generator=torch.Generator()) is model
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_refuses_what_cannot_be_drawn() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))

    with pytest.raises(InputError, match="drawn afresh"):
        scratch_(Bare())
