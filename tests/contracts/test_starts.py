"""What every start keeps, whatever method it is: run over all methods found with the socket ``start``.

A start of another family may need a parent of a special kind; it may then refuse the plain models used
here, with a complete :class:`InputError`. The family ``reuse`` must take them all.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from headstart.errors import InputError
from headstart.papers import Located, discover, find
from headstart.protocols import Parent

STARTS = [item for item in discover() if item.paper.socket == "start"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 8)
        self.mix = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 6, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.mix(self.embed(x).mean(dim=1))))
        return out


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 6))


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6),
    )


INPUTS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (mlp, lambda: torch.randn(12, 5)),
    "conv": (conv, lambda: torch.randn(12, 2, 5, 5)),
    "tied": (Tied, lambda: torch.randint(6, (12, 3))),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A fresh model and a trained parent with its data."""

    fresh: nn.Module
    parent: Parent


def case(kind: str) -> Case:
    build, draw = INPUTS[kind]
    torch.manual_seed(3)
    batches = [(draw(), torch.randint(6, (12,))) for _ in range(2)]
    trained, fresh = build(), build()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    for inputs, targets in batches:
        optimizer.zero_grad()
        cross_entropy(trained(inputs), targets).backward()
        optimizer.step()
    next(fresh.parameters()).requires_grad_(False)
    return Case(fresh, Parent(trained, batches=lambda: iter(batches), loss=cross_entropy))


def load(item: Located) -> ModuleType:
    return importlib.import_module(item.module)


def check_complete(error: InputError) -> None:
    assert error.what and error.where and error.got and error.fix


def start_(item: Located, model: nn.Module, parent: Parent, seed: int = 0) -> None:
    """Applies the start in place; skips a complete refusal by another family."""
    try:
        result = load(item).ADAPTER()(model, parent, generator=torch.Generator().manual_seed(seed))
    except InputError as error:
        check_complete(error)
        if item.paper.family == "reuse":
            raise
        pytest.skip(f"refuses this model: {error.what}")
    assert result is model


def started(item: Located, given: Case, seed: int = 0) -> nn.Module:
    """The start applied to a copy of the fresh model."""
    model = copy.deepcopy(given.fresh)
    start_(item, model, given.parent, seed)
    return model


def differing(left: nn.Module, right: nn.Module) -> list[str]:
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    return [name for name, value in ours.items() if not torch.equal(value, theirs[name])]


over_starts = pytest.mark.parametrize("item", STARTS, ids=lambda item: item.paper.slug)
over_models = pytest.mark.parametrize("kind", list(INPUTS))


def test_the_family_is_complete() -> None:
    found = {item.paper.slug for item in STARTS if item.paper.family == "reuse"}
    assert {"scratch", "warm", "shrink-perturb", "dash", "fire", "spectral-temper"} <= found


@over_starts
def test_is_found_documented_and_configured_by_a_frozen_dataclass(item: Located) -> None:
    module = load(item)
    assert find(item.paper.slug) == item and item.paper == module.PAPER
    assert module.__doc__ and {"ADAPTER", "PAPER"} <= set(module.__all__)
    assert all(getattr(module, name).__doc__ for name in module.__all__ if callable(getattr(module, name)))
    adapter = module.ADAPTER
    assert dataclasses.is_dataclass(adapter) and adapter.__dataclass_params__.frozen
    assert adapter() == adapter()
    assert 0 <= adapter().data_passes <= 2
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        adapter().data_passes = 5


@over_starts
@over_models
def test_works_in_place_and_keeps_what_the_model_is(item: Located, kind: str) -> None:
    given = case(kind)
    model = copy.deepcopy(given.fresh)
    before = {name: (id(p), p.data_ptr(), p.dtype, p.requires_grad) for name, p in model.named_parameters()}
    mode = [module.training for module in model.modules()]
    start_(item, model, given.parent)
    after = {name: (id(p), p.data_ptr(), p.dtype, p.requires_grad) for name, p in model.named_parameters()}
    assert after == before  # a shared tensor appears once, so tying is kept too
    assert [module.training for module in model.modules()] == mode
    assert all(param.grad is None and param.is_leaf for param in model.parameters())
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@over_starts
@over_models
def test_leaves_parent_and_global_random_state_alone(item: Located, kind: str) -> None:
    given = case(kind)
    parent = copy.deepcopy(given.parent.model)
    mode = [module.training for module in parent.modules()]
    state = torch.get_rng_state()
    started(item, given)
    assert torch.equal(torch.get_rng_state(), state)
    assert not differing(given.parent.model, parent)
    assert [module.training for module in given.parent.model.modules()] == mode


@over_starts
@over_models
def test_is_a_function_of_its_inputs_and_the_generator(item: Located, kind: str) -> None:
    given = case(kind)
    assert not differing(started(item, given, seed=5), started(item, given, seed=5))


@over_starts
@over_models
def test_the_started_model_can_be_trained(item: Located, kind: str) -> None:
    given = case(kind)
    model = started(item, given).train()
    assert given.parent.batches is not None
    inputs, targets = next(iter(given.parent.batches()))
    cross_entropy(model(inputs), targets).backward()
    grads = [param.grad for param in model.parameters() if param.requires_grad]
    assert grads and all(grad is not None and torch.isfinite(grad).all() for grad in grads)


@over_starts
def test_without_a_parent_only_a_complete_refusal_or_the_fresh_model(item: Located) -> None:
    given = case("mlp")
    model = copy.deepcopy(given.fresh)
    refusal = None
    try:
        load(item).ADAPTER()(model, None, generator=torch.Generator())
    except InputError as error:
        refusal = error
    if item.paper.slug in {"warm", "shrink-perturb", "dash", "fire", "spectral-temper"}:
        assert refusal is not None
    if refusal is not None:
        check_complete(refusal)
        assert not differing(model, given.fresh)


@over_starts
def test_a_parent_of_another_architecture_is_refused_before_anything_is_written(item: Located) -> None:
    if item.paper.family != "reuse" or item.paper.slug == "scratch":
        pytest.skip("may take parents of other architectures")
    given = case("mlp")
    other = nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Dropout(0.2), nn.Linear(9, 6))
    model = copy.deepcopy(given.fresh)
    parent = dataclasses.replace(given.parent, model=other)
    with pytest.raises(InputError, match=r"0\.weight"):
        load(item).ADAPTER()(model, parent, generator=torch.Generator())
    assert not differing(model, given.fresh)
