"""DASH: scales against plain loops, gradients left alone, invariances, bad input."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from headstart.errors import InputError
from headstart.methods.reuse.dash import Dash, dash_, direction_scale
from headstart.protocols import Parent

Batches = list[tuple[Any, Tensor]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def build() -> nn.Sequential:
    layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)]
    return nn.Sequential(*layers).double()


def images(count: int = 3) -> Batches:
    return [(torch.randn(8, 2, 4, 4).double(), torch.randint(4, (8,))) for _ in range(count)]


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def averaged(model: nn.Module, batches: Batches, alpha: float) -> dict[str, Tensor]:
    """The card's average with ordinary backward passes on a copy."""
    twin = copy.deepcopy(model).train()
    average = {name: torch.zeros_like(param) for name, param in twin.named_parameters()}
    for inputs, targets in batches:
        twin.zero_grad()
        cross_entropy(twin(inputs), targets).backward()
        for name, param in twin.named_parameters():
            average[name] = (1 - alpha) * average[name] - alpha * param.grad
    return average


def test_scales_follow_the_definition_slice_by_slice() -> None:
    model, batches = build(), images()
    before, pull = copy.deepcopy(model.state_dict()), averaged(model, batches, 0.3)
    assert dash_(model, batches, cross_entropy, 0.05, 0.3) is model
    seen = []
    for out in range(4):
        row, direction = before["4.weight"][out].tolist(), pull["4.weight"][out].tolist()
        seen.append(min(1.0, max(0.05, cosine(row, direction))))
        torch.testing.assert_close(model[4].weight[out].tolist(), [seen[-1] * value for value in row])
    for out in range(3):
        for source in range(2):
            kernel = before["0.weight"][out, source].flatten().tolist()
            scale = cosine(kernel, pull["0.weight"][out, source].flatten().tolist())
            seen.append(min(1.0, max(0.05, scale)))
            after = model[0].weight[out, source].flatten().tolist()
            torch.testing.assert_close(after, [seen[-1] * value for value in kernel])
    for name in ("0.bias", "4.bias"):
        scale = min(1.0, max(0.05, cosine(before[name].tolist(), pull[name].tolist())))
        torch.testing.assert_close(model.get_parameter(name).data, scale * before[name])
    assert len({round(value, 9) for value in seen}) > 2  # not all at the floor
    for name in ("1.weight", "1.bias", "1.running_mean", "1.num_batches_tracked"):
        assert torch.equal(model.state_dict()[name], before[name]), name


def test_later_batches_weigh_more() -> None:
    along, across = (
        (torch.tensor([[1.0, 0.0]]), torch.tensor([-1.0])),
        (torch.tensor([[0.0, 1.0]]), torch.tensor([-1.0])),
    )
    for batches, pull in (((along, across), (0.25, 0.5)), ((across, along), (0.5, 0.25))):
        model = nn.Linear(2, 1, bias=False)
        model.weight.data.copy_(torch.tensor([[4.0, 0.0]]))
        dash_(model, batches, lambda outputs, targets: (outputs * targets).sum(), 0.1, 0.5)
        assert abs(model.weight[0, 0].item() - 4 * pull[0] / math.hypot(*pull)) < 1e-5


def test_one_changes_nothing() -> None:
    model = build()
    before = copy.deepcopy(model.state_dict())
    dash_(model, images(), cross_entropy, shrink=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_row_along_the_negative_gradient_stays_and_one_against_it_is_shrunk() -> None:
    direction = torch.randn(3, 5).double()
    weight = torch.stack([2.5 * direction[0], -direction[1], torch.zeros(5).double()])
    scale = direction_scale(weight, direction, 0.3)
    torch.testing.assert_close(scale, torch.tensor([[1.0], [0.3], [0.3]]).double())
    assert direction_scale(torch.randn(2, 3, 3, 3), torch.randn(2, 3, 3, 3), 0.3).shape == (2, 3, 1, 1)
    assert direction_scale(torch.randn(4), torch.randn(4), 0.3).shape == (1,)


@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_the_scale_of_the_loss_does_not_matter(factor: float) -> None:
    model, batches = build().float(), [(x.float(), y) for x, y in images()]
    other = copy.deepcopy(model)
    dash_(model, batches, cross_entropy)
    dash_(other, batches, lambda outputs, targets: factor * cross_entropy(outputs, targets))
    torch.testing.assert_close(other[0].weight, model[0].weight, rtol=1e-4, atol=1e-6)


def test_leaves_mode_statistics_and_gradients() -> None:
    model = nn.Sequential(build(), nn.Dropout(0.5)).eval()
    twin = copy.deepcopy(model)
    with torch.no_grad():  # a caller's no_grad does not stop the gradient pass
        dash_(model, images(2), cross_entropy, generator=torch.Generator().manual_seed(1))
    assert not any(module.training for module in model.modules())
    assert torch.equal(model[0][1].running_mean, twin[0][1].running_mean)
    assert all(param.grad is None for param in model.parameters())
    assert not torch.equal(model[0][0].weight, twin[0][0].weight)


def test_gradients_are_those_of_training_mode() -> None:
    model, batches = build().train(), images()
    other = copy.deepcopy(model).eval()
    dash_(model, batches, cross_entropy, 0.0)
    dash_(other, batches, cross_entropy, 0.0)
    assert torch.equal(model[4].weight, other[4].weight) and torch.equal(model[0].weight, other[0].weight)


def test_dropout_draws_from_the_generator() -> None:
    model, batches = nn.Sequential(build(), nn.Dropout(0.5)), images(2)
    state, results = torch.get_rng_state(), []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        results.append(
            dash_(copy.deepcopy(model), batches, cross_entropy, 0, generator=generator)[0][4].weight
        )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_frozen_and_unused_parameters_and_include_are_left_alone() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({name: nn.Linear(3, 3) for name in ("used", "frozen", "unused")})
            self.parts["frozen"].requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.parts["frozen"](self.parts["used"](x))
            return out

    net = Net()
    before = copy.deepcopy(net.state_dict())
    batches = [(torch.randn(4, 3), torch.randn(4, 3))]
    dash_(net, batches, mse_loss, include=lambda name: not name.endswith("bias"))
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"parts.used.weight"}


def test_several_inputs_and_attention() -> None:
    model = nn.MultiheadAttention(4, 2, batch_first=True)
    with torch.no_grad():
        model.in_proj_bias.copy_(torch.randn(12))
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(3, 5, 4)

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        return mse_loss(outputs[0], targets)

    dash_(model, [((x, x, x), torch.randn(3, 5, 4))], loss)
    ratio = model.in_proj_weight / before["in_proj_weight"]
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)
    blocks = (model.in_proj_bias / before["in_proj_bias"]).reshape(3, 4)
    torch.testing.assert_close(blocks, blocks[:, :1].expand(3, 4), rtol=1e-4, atol=1e-4)
    assert len(set(blocks[:, 0].tolist())) > 1  # query, key and value each have their own


def test_a_shared_weight_is_scaled_once() -> None:
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    before = first.weight.data.clone()
    batches = [(torch.zeros(2, 3), torch.zeros(2, 3))]  # no pull: every row goes to the floor
    dash_(nn.Sequential(first, second), batches, mse_loss, 0.5)
    torch.testing.assert_close(first.weight.data, before / 2)


@pytest.mark.parametrize(
    ("batches", "loss", "message"),
    [
        ([], mse_loss, "no data"),
        ([3], mse_loss, "no .inputs, targets. pair"),
        ([(torch.ones(2, 3), torch.ones(2, 3))], lambda outputs, targets: outputs, "no scalar"),
        ([(torch.ones(2, 3), torch.ones(2, 3))], lambda outputs, targets: 1.0, "no scalar"),
        ([(torch.ones(2, 3), torch.ones(2, 3))], lambda outputs, targets: targets.sum(), "no scalar"),
        ([(torch.ones(2, 3) / 0, torch.ones(2, 3))], mse_loss, "not finite"),
    ],
)
def test_unusable_data_or_loss_is_refused_before_anything_is_written(
    batches: Any, loss: Any, message: str
) -> None:
    model = nn.Linear(3, 3)
    before = model.weight.data.clone()
    with pytest.raises(InputError, match=message):
        dash_(model, batches, loss)
    assert torch.equal(model.weight, before)


def test_settings_out_of_range_and_models_without_layers_are_refused() -> None:
    for settings in ({"shrink": 1.5}, {"shrink": -1}, {"alpha": 0}, {"alpha": math.nan}):
        with pytest.raises(InputError, match="out of range"):
            dash_(nn.Linear(2, 2), [], mse_loss, **settings)
        with pytest.raises(InputError, match="out of range"):
            Dash(**settings)
    with pytest.raises(InputError, match="no weight matrix"):
        dash_(nn.LayerNorm(3), [], mse_loss)
    with pytest.raises(InputError, match="requires a gradient"):
        dash_(nn.Linear(2, 2).requires_grad_(False), [], mse_loss)


def test_the_adapter_needs_data_and_loss_and_leaves_new_rows_fresh() -> None:
    model, parent = nn.Linear(3, 4), nn.Linear(3, 2)
    batches = [(torch.randn(6, 3), torch.randint(4, (6,)))]
    generator = torch.Generator()
    with pytest.raises(InputError, match="no batches"):
        Dash()(model, Parent(parent, loss=cross_entropy), generator=generator)
    with pytest.raises(InputError, match="no loss"):
        Dash()(model, Parent(parent, batches=lambda: batches), generator=generator)
    fresh, old = copy.deepcopy(model), parent.weight.data.clone()
    joined = copy.deepcopy(model)
    with torch.no_grad():
        joined.weight[:2], joined.bias[:2] = parent.weight, parent.bias
    expected = dash_(joined, batches, cross_entropy)
    Dash()(model, Parent(parent, batches=lambda: batches, loss=cross_entropy), generator=generator)
    assert torch.equal(model.weight[:2], expected.weight[:2]) and torch.equal(
        model.weight[2:], fresh.weight[2:]
    )
    assert torch.equal(parent.weight, old)
    assert Dash().data_passes == 1
