"""Spectral tempering: numpy's decomposition as truth, invariants, zero matrices, bad input."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.methods.reuse.spectral_temper import SpectralTemper, spectral_temper_, temper_matrix
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
            param.add_(0.3 * torch.randn_like(param))
    return model


def truth(weight: Tensor, power: float, pull: float, fresh_norm: float) -> np.ndarray:
    """The card's equation in float64 numpy."""
    matrix = weight.detach().double().flatten(1).numpy()
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    t = np.maximum(s, 1e-8) ** power
    target = np.sqrt((matrix**2).sum()) ** (1 - pull) * fresh_norm**pull
    return (target / np.sqrt((t**2).sum()) * u * t @ vh).reshape(weight.shape)


@pytest.mark.parametrize(("power", "pull"), [(0.5, 0.1), (0.25, 0.0), (0.0, 1.0), (1.0, 0.5)])
def test_without_a_fresh_model_the_norm_is_the_closed_form(power: float, pull: float) -> None:
    model = trained()
    before = copy.deepcopy(model)
    assert spectral_temper_(model, power, pull) is model
    for index, fan_in in ((0, 18), (4, 12)):
        old = before[index].weight
        expected = truth(old, power, pull, math.sqrt(old.numel() / (3 * fan_in)))
        np.testing.assert_allclose(model[index].weight.detach().numpy(), expected, rtol=1e-4, atol=2e-6)
        assert torch.equal(model[index].bias, before[index].bias)
    assert torch.equal(model[1].weight, before[1].weight)


def test_a_fresh_model_gives_its_own_norms_and_buffers() -> None:
    model, fresh = trained(), build()
    fresh[4].weight.data.mul_(7)
    fresh[1].running_mean.fill_(0.25)
    before = copy.deepcopy(model)
    spectral_temper_(model, 0.3, 0.6, fresh=fresh)
    for index in (0, 4):
        norm = math.sqrt(sum(value**2 for value in fresh[index].weight.flatten().tolist()))
        expected = truth(before[index].weight, 0.3, 0.6, norm)
        np.testing.assert_allclose(model[index].weight.detach().numpy(), expected, rtol=1e-4, atol=2e-6)
    assert torch.equal(model[1].running_mean, fresh[1].running_mean)


def test_the_closed_form_is_the_norm_of_default_layers() -> None:
    for layer in (nn.Linear(400, 300), nn.Conv2d(40, 60, 3, groups=2)):
        closed = math.sqrt(layer.weight.numel() / (3 * layer.weight[0].numel()))
        assert abs(layer.weight.norm().item() / closed - 1) < 0.02


def test_attention_is_done_for_query_key_and_value_each() -> None:
    model = nn.MultiheadAttention(6, 2)
    before = model.in_proj_weight.data.clone()
    spectral_temper_(model, 0.5, 0.5)
    bound = math.sqrt(6 / (18 + 6))  # xavier over the fused matrix
    for old, new in zip(before.chunk(3), model.in_proj_weight.detach().chunk(3), strict=True):
        np.testing.assert_allclose(new, truth(old, 0.5, 0.5, bound * math.sqrt(36 / 3)), rtol=1e-4, atol=2e-6)


def test_one_zero_is_bit_identical() -> None:
    model = trained()
    before = copy.deepcopy(model.state_dict())
    spectral_temper_(model, 1, 0, reset_buffers=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@given(st.integers(1, 7), st.integers(1, 7), st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 10))
def test_norm_and_singular_vectors(
    rows: int, cols: int, power: float, pull: float, fresh_norm: float
) -> None:
    matrix = torch.randn(rows, cols, generator=torch.Generator().manual_seed(rows * 10 + cols)).double()
    result = temper_matrix(matrix, power, pull, fresh_norm=fresh_norm)
    norm = float(matrix.norm()) ** (1 - pull) * fresh_norm**pull
    assert abs(float(result.norm()) / norm - 1) < 1e-6
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.mT @ result @ vh.mT  # diagonal in the old singular vectors
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), rtol=0, atol=1e-6)
    assert (inner.diagonal() > 0).all()


def test_power_zero_makes_singular_values_equal() -> None:
    s = torch.linalg.svdvals(temper_matrix(torch.randn(9, 5), 0, 0.2, fresh_norm=2.0))
    assert (s.max() / s.min() - 1).item() < 1e-5


def test_powers_compose_and_scale_passes_through() -> None:
    matrix = torch.randn(6, 4).double()
    once = temper_matrix(matrix, 0.35, 0, fresh_norm=1.0)
    twice = temper_matrix(temper_matrix(matrix, 0.7, 0, fresh_norm=1.0), 0.5, 0, fresh_norm=1.0)
    torch.testing.assert_close(once, twice)
    scaled = temper_matrix(8 * matrix, 0.5, 0.25, fresh_norm=3.0)
    torch.testing.assert_close(scaled, 8**0.75 * temper_matrix(matrix, 0.5, 0.25, fresh_norm=3.0))


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_rank_deficient_matrices_stay_finite(power: float) -> None:
    matrix = torch.outer(torch.arange(1.0, 5), torch.arange(1.0, 4))
    result = temper_matrix(matrix, power, 0.5, fresh_norm=1.0)
    assert torch.isfinite(result).all()
    assert abs(result.norm().item() / math.sqrt(matrix.norm().item()) - 1) < 1e-5
    assert not temper_matrix(torch.zeros(3, 2), power, 1, fresh_norm=1.0).any()


def test_a_zero_matrix_becomes_the_fresh_weight() -> None:
    model, fresh = trained(), build()
    model[4].weight.data.zero_()
    spectral_temper_(copied := copy.deepcopy(model), fresh=fresh)
    assert torch.equal(copied[4].weight, fresh[4].weight)
    state = torch.get_rng_state()
    drawn = [
        spectral_temper_(copy.deepcopy(model), generator=torch.Generator().manual_seed(seed))[4].weight.data
        for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert 0.5 / math.sqrt(12) < drawn[0].abs().max() <= 1 / math.sqrt(12)


def test_a_layer_that_starts_at_zero_keeps_its_norm() -> None:
    model, fresh = nn.Linear(3, 3), nn.Linear(3, 3)
    fresh.weight.data.zero_()
    norm = model.weight.norm().item()
    spectral_temper_(model, fresh=fresh)
    assert abs(model.weight.norm().item() / norm - 1) < 1e-5


def test_half_precision_shared_weights_and_identity() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(first, second).to(torch.float16)
    expected = truth(first.weight, 0.5, 0, 1.0)
    pointer = first.weight.data_ptr()
    spectral_temper_(model, 0.5, 0)
    assert first.weight is second.weight and first.weight.data_ptr() == pointer
    assert first.weight.dtype == torch.float16
    np.testing.assert_allclose(first.weight.detach().float(), expected, atol=1e-3)


def test_statistics_are_reset_unless_kept_or_left_out() -> None:
    model = trained()
    kept = model[1].running_mean.clone()
    spectral_temper_(model, reset_buffers=False)
    spectral_temper_(model, include=lambda name: not name.startswith("1."))
    assert torch.equal(model[1].running_mean, kept) and kept.any()
    spectral_temper_(model)
    assert not model[1].running_mean.any() and model[1].num_batches_tracked == 0
    assert all(param.grad is None for param in model.parameters())


@pytest.mark.parametrize("knobs", [(-0.1, 0), (1.1, 0), (0.5, -1), (0.5, 2), (math.nan, 0), (0.5, "a")])
def test_knobs_out_of_range_are_refused(knobs: tuple[float, float]) -> None:
    for call in (
        lambda: spectral_temper_(nn.Linear(2, 2), *knobs),
        lambda: SpectralTemper(*knobs),
        lambda: temper_matrix(torch.ones(2, 2), *knobs, fresh_norm=1.0),
    ):
        with pytest.raises(InputError, match="out of range"):
            call()


def test_models_without_a_usable_matrix_are_refused() -> None:
    with pytest.raises(InputError, match="no weight matrix"):
        spectral_temper_(nn.BatchNorm1d(3))
    with pytest.raises(InputError, match="meta"):
        spectral_temper_(nn.Linear(3, 3, device="meta"))
    broken = nn.Linear(3, 3)
    broken.weight.data[0, 0] = math.inf
    with pytest.raises(InputError, match="not finite"):
        spectral_temper_(broken)


def test_the_adapter_takes_norms_and_buffers_from_the_fresh_model() -> None:
    model, parent = build(), trained()
    model[4].weight.data.mul_(5)
    fresh = copy.deepcopy(model)
    SpectralTemper(0.4, 0.5)(model, Parent(parent), generator=torch.Generator())
    expected = truth(parent[4].weight, 0.4, 0.5, fresh[4].weight.norm().item())
    np.testing.assert_allclose(model[4].weight.detach().numpy(), expected, rtol=1e-4, atol=2e-6)
    assert torch.equal(model[4].bias, parent[4].bias)
    assert torch.equal(model[1].running_mean, fresh[1].running_mean)
