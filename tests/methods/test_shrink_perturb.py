"""Shrink and perturb: known answers, endpoints, linearity, in-place behaviour, bad input."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headstart.errors import InputError
from headstart.methods.reuse.shrink_perturb import (
    ShrinkPerturb,
    shrink_perturb,
    shrink_perturb_,
    warn_if_moments,
)
from headstart.protocols import Parent


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def build() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


def trained() -> nn.Sequential:
    model = build()
    model(torch.randn(6, 2, 4, 4) + 1).sum().backward()
    with torch.no_grad():
        for param in model.parameters():
            param.add_(torch.randn_like(param))
    return model


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(model.state_dict())


def test_known_answer_by_hand() -> None:
    model, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0]]))
        model.bias.fill_(5.0)
        fresh.weight.copy_(torch.tensor([[10.0, 20.0]]))
        fresh.bias.fill_(-10.0)
    shrink_perturb_(model, fresh=fresh)
    torch.testing.assert_close(model.weight.data, torch.tensor([[0.4 + 1.0, -0.8 + 2.0]]))
    torch.testing.assert_close(model.bias.data, torch.tensor([2.0 - 1.0]))


@given(st.floats(0, 1), st.floats(0, 3))
def test_every_entry_is_the_linear_combination(lam: float, mu: float) -> None:
    model, fresh = trained(), build()
    theta, phi = values(model), values(fresh)
    shrink_perturb_(model, lam, mu, fresh=fresh)
    for name, param in model.named_parameters():
        expected = [
            lam * a + mu * b
            for a, b in zip(theta[name].flatten().tolist(), phi[name].flatten().tolist(), strict=True)
        ]
        torch.testing.assert_close(param.data.flatten().tolist(), expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, phi[name]) for name, value in fresh.state_dict().items())


def test_one_zero_is_bit_identical() -> None:
    model = trained()
    model[4].bias.data[0] = -0.0
    before = values(model)
    shrink_perturb_(model, 1, 0, reset_buffers=False, generator=gen())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert math.copysign(1, model[4].bias[0].item()) == -1


def test_zero_one_is_the_fresh_model_bit_for_bit_with_buffers() -> None:
    model, fresh = trained(), build()
    model[4].weight.data[0, 0] = math.inf
    shrink_perturb_(model, 0, 1, fresh=fresh)
    for name, value in model.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name


def test_twice_with_the_same_fresh_model_is_once_with_composed_factors() -> None:
    twice, fresh = trained().double(), build().double()
    once = copy.deepcopy(twice)
    for _ in range(2):
        shrink_perturb_(twice, 0.6, 0.2, fresh=fresh)
    shrink_perturb_(once, 0.36, 0.2 * 1.6, fresh=fresh)
    for a, b in zip(twice.parameters(), once.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_defaults_take_batch_norm_gain_to_one_half_and_reset_its_statistics() -> None:
    model = trained()
    with torch.no_grad():
        model[1].weight.fill_(1.0)
        model[1].bias.fill_(2.0)
    shrink_perturb_(model, generator=gen())
    torch.testing.assert_close(model[1].weight.data, torch.full((3,), 0.5))
    torch.testing.assert_close(model[1].bias.data, torch.full((3,), 0.8))
    assert torch.equal(model[1].running_mean, torch.zeros(3)) and torch.equal(
        model[1].running_var, torch.ones(3)
    )
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize("noise", ["fresh", "gaussian"])
def test_buffers_can_be_kept_or_reset(noise: str) -> None:
    model = trained()
    mean = model[1].running_mean.clone()
    shrink_perturb_(model, noise=noise, reset_buffers=False, generator=gen())  # type: ignore[arg-type]
    assert torch.equal(model[1].running_mean, mean)
    shrink_perturb_(model, noise=noise, generator=gen())  # type: ignore[arg-type]
    assert torch.equal(model[1].running_mean, torch.zeros(3))


def test_seeds_decide_and_global_state_stays() -> None:
    model = trained()
    state = torch.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        twin = copy.deepcopy(model)
        results.append(shrink_perturb_(twin, generator=gen(seed))[4].weight.data)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_gaussian_noise_has_the_scale_asked_for() -> None:
    model = nn.Linear(300, 300)
    before = model.weight.data.clone()
    shrink_perturb_(model, 0.5, 0.01, noise="gaussian", generator=gen())
    rest = model.weight.data - 0.5 * before
    assert abs(rest.std().item() - 0.01) < 2e-4 and abs(rest.mean().item()) < 2e-4


def test_gaussian_noise_needs_no_reset_parameters() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))

    shrink_perturb_(Bare(), noise="gaussian", generator=gen())
    with pytest.raises(InputError, match="Bare"):
        shrink_perturb_(Bare())


def test_in_place_keeps_identity_flags_and_drops_gradients() -> None:
    model = trained()
    model[0].weight.requires_grad_(False)
    params = {name: (param, param.data_ptr()) for name, param in model.named_parameters()}
    assert shrink_perturb_(model, generator=gen()) is model
    for name, param in model.named_parameters():
        assert param is params[name][0] and param.data_ptr() == params[name][1]
        assert param.grad is None and param.grad_fn is None and param.is_leaf
        assert param.requires_grad == (name != "0.weight")


def test_a_shared_tensor_is_shrunk_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    before = first.weight.data.clone()
    model = nn.Sequential(first, second)
    shrink_perturb_(model, 0.5, 0)
    torch.testing.assert_close(first.weight.data, before / 2)
    assert first.weight is second.weight


def test_include_leaves_parameters_and_buffers_out() -> None:
    model = trained()
    before = values(model)
    shrink_perturb_(model, generator=gen(), include=lambda name: name.startswith("4."))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("4."), name


def test_shrinking_a_bias_free_relu_network_scales_its_logits() -> None:
    layers = [nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 6, bias=False), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(6, 3, bias=False)).double()
    x = torch.randn(10, 6, dtype=torch.float64)
    before = model(x)
    shrink_perturb_(model, 0.5, 0)
    torch.testing.assert_close(model(x), before * 0.5**3)


@pytest.mark.parametrize(
    ("shrink", "perturb"),
    [(-0.1, 0.1), (1.1, 0.1), (0.4, -1), (math.nan, 0), (0.4, math.nan), ("a", 0), (True, 0)],
)
def test_factors_out_of_range_are_refused(shrink: float, perturb: float) -> None:
    model = nn.Linear(2, 2)
    before = values(model)
    with pytest.raises(InputError, match="out of range"):
        shrink_perturb_(model, shrink, perturb)
    with pytest.raises(InputError, match="out of range"):
        ShrinkPerturb(shrink, perturb)
    assert torch.equal(model.weight, before["weight"])


def test_another_architecture_is_named_before_anything_is_written() -> None:
    model = nn.Linear(2, 2)
    before = values(model)
    with pytest.raises(InputError, match=r"weight.*\(2, 2\).*\(2, 3\)"):
        shrink_perturb_(model, fresh=nn.Linear(3, 2))
    with pytest.raises(InputError, match="kind of noise"):
        shrink_perturb_(model, noise="pink")  # type: ignore[arg-type]
    assert torch.equal(model.weight, before["weight"])


def test_the_pure_form_takes_the_dtype_of_the_old_weights() -> None:
    mixed = shrink_perturb(torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.float64), 0.5, 0.25)
    assert mixed.dtype == torch.bfloat16 and mixed.tolist() == [0.75, 0.75]


def test_the_adapter_mixes_the_parent_into_the_fresh_model() -> None:
    model, parent = build(), trained()
    phi, theta = values(model), values(parent)
    ShrinkPerturb(0.6, 0.2)(model, Parent(parent), generator=gen())
    for name, param in model.named_parameters():
        torch.testing.assert_close(param.data, 0.6 * theta[name] + 0.2 * phi[name])
    assert torch.equal(model[1].running_mean, phi["1.running_mean"])
    ShrinkPerturb(reset_buffers=False)(model, Parent(parent), generator=gen())
    assert torch.equal(model[1].running_mean, theta["1.running_mean"])


def test_the_adapter_leaves_the_rows_of_a_new_class_fresh() -> None:
    model, parent = nn.Linear(3, 4), nn.Linear(3, 2)
    fresh = model.weight.data.clone()
    ShrinkPerturb()(model, Parent(parent), generator=gen())
    assert torch.equal(model.weight[2:], fresh[2:])
    torch.testing.assert_close(model.weight.data[:2], 0.4 * parent.weight.data + 0.1 * fresh[:2])


def test_moments_of_an_old_optimizer_are_warned_about() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    warn_if_moments(optimizer)  # silent: it has none yet; a warning would fail under -W error
    model(torch.randn(3, 2)).sum().backward()
    optimizer.step()
    with pytest.warns(UserWarning, match="new optimizer"):
        warn_if_moments(optimizer)
