"""Parameters by name: tying, refusals, fresh copies, architecture checks, inheritance."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from headstart.errors import InputError
from headstart.nn.params import (
    check_same_architecture,
    clear_grads,
    drawing_from,
    first_names,
    fresh_copy,
    inherit_,
    leading_copy,
    reset_pairs,
    unique_parameters,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight


class Bare(nn.Module):
    """Owns a parameter and has no reset_parameters()."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))


class HalfReset(nn.Module):
    """Its reset forgets one of its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.ones(3))
        self.drawn = nn.Parameter(torch.ones(3))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.drawn)


def mlp(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, classes))


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_shared_tensor_is_one_parameter_under_its_first_name() -> None:
    model = Tied()
    assert list(unique_parameters(model)) == ["embed.weight"]
    assert first_names(model) == {"embed.weight": "embed.weight", "head.weight": "embed.weight"}
    model.head.weight = nn.Parameter(torch.empty(7, 4))
    model.head.weight.data = model.embed.weight.data
    assert list(unique_parameters(model)) == ["embed.weight"]


@pytest.mark.parametrize("left_out", ["embed", "head"])
def test_leaving_out_one_name_of_a_shared_tensor_leaves_it_out(left_out: str) -> None:
    model = nn.ModuleDict({"tied": Tied(), "other": nn.Linear(2, 2)})
    names = unique_parameters(model, lambda name: left_out not in name)
    assert list(names) == ["other.weight", "other.bias"]


def test_an_include_that_takes_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="include"):
        unique_parameters(mlp(), lambda name: False)
    with pytest.raises(InputError, match="no parameter"):
        unique_parameters(nn.ReLU())


def bad(kind: str) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    if kind == "meta":
        return model.to("meta")
    if kind == "lazy":
        return nn.Sequential(nn.LazyLinear(2))
    if kind == "sharded":
        model[0].weight.device_mesh = object()  # what marks a DTensor
        return model
    value = torch.ones(2, 2)
    if kind == "quantized":
        value = torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)
    else:
        value = value.to(getattr(torch, kind))
    model[0].weight = nn.Parameter(value, requires_grad=False)
    return model


@pytest.mark.parametrize(
    "kind", ["meta", "lazy", "sharded", "quantized", "int64", "int8", "complex64", "float8_e4m3fn"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_be_rewritten_is_refused_by_name(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        unique_parameters(bad(kind))
    assert "0.weight" in caught.value.where and caught.value.fix
    if kind != "meta":
        assert list(
            unique_parameters(bad(kind), lambda name: name == "0.bias") if kind != "lazy" else ["0.bias"]
        )


def test_half_precision_is_welcome() -> None:
    assert len(unique_parameters(mlp().to(torch.bfloat16))) == 6


def test_fresh_copy_draws_what_construction_draws() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 4), nn.MultiheadAttention(4, 2), nn.LayerNorm(4), nn.Linear(4, 3))

    model = build()
    torch.manual_seed(11)
    expected = build()
    torch.manual_seed(11)
    made = fresh_copy(model)
    assert same(made, expected) and not same(made, model)


def test_fresh_copy_takes_its_draws_from_the_generator_alone() -> None:
    model = mlp()
    model(torch.randn(8, 5)).sum().backward()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    made = [fresh_copy(model, None, gen(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert same(made[0], made[1]) and not same(made[0], made[2])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(param.grad is None for param in made[0].parameters())
    assert torch.equal(made[0][1].running_mean, torch.zeros(4))  # batch norm starts anew


def test_one_generator_gives_another_draw_each_time() -> None:
    generator = gen()
    first, second = fresh_copy(mlp(), None, generator), fresh_copy(mlp(), None, generator)
    assert not torch.equal(first[0].weight, second[0].weight)


def test_a_factory_draws_from_the_generator_too() -> None:
    first, second = fresh_copy(mlp(), mlp, gen(3)), fresh_copy(mlp(), mlp, gen(3))
    assert same(first, second)


@pytest.mark.parametrize("module", [Bare, HalfReset])
def test_a_parameter_no_reset_reaches_is_named(module: type[nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(3, 3), module())
    with pytest.raises(InputError, match="module 1") as caught:
        fresh_copy(model)
    assert module.__name__ in caught.value.got and "fresh" in caught.value.fix
    fresh_copy(model, include=lambda name: name.startswith("0."))  # not needed, so not asked for


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weight_norm_is_not_mistaken_for_reset() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))
    with pytest.raises(InputError, match="parametrizations"):
        fresh_copy(model)


def test_fresh_must_be_another_model_of_the_same_architecture() -> None:
    model = mlp()
    for fresh in (model, lambda: 3, lambda: model):
        with pytest.raises(InputError, match="no fresh model"):
            fresh_copy(model, fresh)  # type: ignore[arg-type]
    other = mlp()
    assert fresh_copy(model, other) is other
    with pytest.raises(InputError) as caught:
        fresh_copy(model, mlp(5))
    assert "3.weight" in caught.value.where
    assert "(3, 4)" in caught.value.got and "(5, 4)" in caught.value.got


def test_a_missing_parameter_is_named_on_either_side() -> None:
    with_bias, without = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)
    for pair in ((with_bias, without), (without, with_bias)):
        with pytest.raises(InputError, match=r"bias.*missing"):
            check_same_architecture(*pair)


def test_drawing_from_nothing_is_the_global_state() -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    with drawing_from(None):
        assert torch.equal(torch.rand(3), expected)


def test_reset_pairs_without_a_fresh_model_are_running_statistics() -> None:
    model = mlp()
    model(torch.randn(8, 5) + 3)
    assert model[1].num_batches_tracked == 1
    for target, value in reset_pairs(model, None):
        target.copy_(value)
    assert same(nn.ModuleList([model[1]]), nn.ModuleList([nn.BatchNorm1d(4)]))
    assert not reset_pairs(model, None, lambda name: not name.startswith("1."))


def test_reset_pairs_name_a_buffer_that_differs() -> None:
    bare = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False))
    with pytest.raises(InputError, match=r"1\.running_mean"):
        reset_pairs(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), bare)


def test_inherit_is_exact_and_keeps_identity() -> None:
    model, parent = mlp(), mlp()
    parent(torch.randn(8, 5) + 1)
    model(torch.randn(8, 5)).sum().backward()
    pointers = [param.data_ptr() for param in model.parameters()]
    assert inherit_(model, parent) is model
    assert same(model, parent)
    assert [param.data_ptr() for param in model.parameters()] == pointers
    assert all(param.grad is None for param in model.parameters())


def test_inherit_fills_the_leading_slice_when_a_class_was_added() -> None:
    model, parent = mlp(5), mlp(3)
    before = copy.deepcopy(model)
    inherit_(model, parent)
    assert torch.equal(model[3].weight[:3], parent[3].weight)
    assert torch.equal(model[3].weight[3:], before[3].weight[3:])
    assert torch.equal(model[3].bias[3:], before[3].bias[3:])
    part = leading_copy(before, parent)
    assert torch.equal(part[3].weight, before[3].weight[:3]) and torch.equal(part[0].weight, before[0].weight)


@pytest.mark.parametrize(
    "parent",
    [
        mlp(5),  # the model would shrink
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU()),
        nn.Sequential(nn.Conv1d(5, 4, 1), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.Linear(3, 3)),
    ],
)
def test_inherit_refuses_any_other_change_before_writing(parent: nn.Module) -> None:
    model = mlp()
    before = copy.deepcopy(model)
    with pytest.raises(InputError, match="does not continue"):
        inherit_(model, parent)
    assert same(model, before)


def test_clear_grads() -> None:
    model = mlp()
    model(torch.randn(4, 5)).sum().backward()
    clear_grads(model)
    assert all(param.grad is None for param in model.parameters())
