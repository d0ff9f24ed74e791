"""FIRE: polar factors against scipy, scales, attention blocks, invariances, bad input."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.linalg import polar
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.methods.reuse.fire import Fire, fire_, newton_schulz
from headstart.protocols import Parent


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def conditioned(rows: int, cols: int, seed: int = 0, ratio: float = 3.0) -> Tensor:
    """A float64 matrix with singular values from 1 to ``ratio``."""
    rng = np.random.default_rng(seed)
    small = min(rows, cols)
    left, right = (np.linalg.qr(rng.standard_normal((size, small)))[0] for size in (rows, cols))
    return torch.from_numpy(left * np.linspace(1, ratio, small) @ right.T)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1)])
def test_newton_schulz_is_the_polar_factor(shape: tuple[int, int]) -> None:
    matrix = conditioned(*shape)
    unitary, _ = polar(matrix.numpy())
    torch.testing.assert_close(newton_schulz(matrix, 20), torch.from_numpy(unitary), rtol=0, atol=1e-10)


def test_ten_steps_follow_the_iteration() -> None:
    matrix = conditioned(5, 3, ratio=40.0)
    u, s, vh = np.linalg.svd(matrix.numpy(), full_matrices=False)
    values = s / math.sqrt(sum(value**2 for value in s))
    for _ in range(10):
        values = np.array([1.5 * value - 0.5 * value**3 for value in values])
    torch.testing.assert_close(newton_schulz(matrix), torch.from_numpy(u * values @ vh), rtol=0, atol=1e-12)
    assert values.min() < 0.999  # not converged, so the count of steps matters


@pytest.mark.parametrize("shape", [(8, 4), (4, 8)])
def test_linear_weights_become_scaled_isometries(shape: tuple[int, int]) -> None:
    model = nn.Linear(shape[1], shape[0])
    model.weight.data.copy_(conditioned(*shape))
    bias = model.bias.data.clone()
    assert fire_(model) is model
    weight = model.weight.data
    gram = weight.mT @ weight if shape[0] >= shape[1] else weight @ weight.mT
    torch.testing.assert_close(gram, shape[0] / shape[1] * torch.eye(4), rtol=0, atol=1e-2)
    assert torch.equal(model.bias, bias)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_are_done_for_each_kernel_position(groups: int) -> None:
    model = nn.Conv2d(4, 6, (3, 2), groups=groups).double()
    before = model.weight.data.clone()
    fire_(model, 30)
    scale = math.sqrt(6 / (4 / groups)) / 6
    for row in range(3):
        for col in range(2):
            unitary, _ = polar(before[:, :, row, col].numpy())
            torch.testing.assert_close(model.weight.data[:, :, row, col], scale * torch.from_numpy(unitary))


def test_attention_is_done_for_query_key_and_value_each() -> None:
    model = nn.MultiheadAttention(6, 2).double()
    before = copy.deepcopy(model)
    fire_(model, 40)
    for old, new in zip(before.in_proj_weight.chunk(3), model.in_proj_weight.chunk(3), strict=True):
        torch.testing.assert_close(new.data, torch.from_numpy(polar(old.detach().numpy())[0]))
    expected = torch.from_numpy(polar(before.out_proj.weight.detach().numpy())[0])
    torch.testing.assert_close(model.out_proj.weight.data, expected)


def test_attention_with_unequal_widths() -> None:
    model = nn.MultiheadAttention(6, 2, kdim=4, vdim=3).double()
    before = model.k_proj_weight.data.clone()
    fire_(model, 40)
    expected = math.sqrt(6 / 4) * torch.from_numpy(polar(before.numpy())[0])
    torch.testing.assert_close(model.k_proj_weight.data, expected)


def test_a_fused_linear_projection_is_split_by_its_name() -> None:
    fused = nn.ModuleDict({"c_attn": nn.Linear(4, 12), "mlp": nn.Linear(4, 12)}).double()
    before = copy.deepcopy(fused)
    fire_(fused, 40)
    blocks = [polar(block.detach().numpy())[0] for block in before["c_attn"].weight.chunk(3)]
    torch.testing.assert_close(fused["c_attn"].weight.data, torch.from_numpy(np.concatenate(blocks)))
    whole = math.sqrt(3) * torch.from_numpy(polar(before["mlp"].weight.detach().numpy())[0])
    torch.testing.assert_close(fused["mlp"].weight.data, whole)


def test_scale_does_not_matter_and_twice_is_once() -> None:
    model = nn.Linear(5, 5)
    model.weight.data.copy_(conditioned(5, 5))
    scaled = copy.deepcopy(model)
    scaled.weight.data.mul_(37.0)
    fire_(model)
    fire_(scaled)
    torch.testing.assert_close(model.weight, scaled.weight, rtol=0, atol=1e-5)
    once = model.weight.data.clone()
    torch.testing.assert_close(fire_(model).weight.data, once, rtol=0, atol=1e-2)


def test_half_precision_zero_and_shared_weights() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    first.weight.data.copy_(conditioned(4, 4))
    zero = nn.Conv2d(2, 2, 3)
    zero.weight.data.zero_()
    model = nn.Sequential(first, second, zero).to(torch.bfloat16)
    pointer = first.weight.data_ptr()
    fire_(model)
    assert first.weight is second.weight and first.weight.data_ptr() == pointer
    assert first.weight.dtype == torch.bfloat16
    gram = first.weight.float() @ first.weight.float().mT
    torch.testing.assert_close(gram, torch.eye(4), rtol=0, atol=2e-2)
    assert not zero.weight.any()


def test_a_head_tied_to_an_embedding_is_done_and_an_embedding_alone_is_not() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5), "alone": nn.Embedding(4, 2)})
    model["head"].weight = model["embed"].weight
    alone, tied = model["alone"].weight.data.clone(), model["embed"].weight.data.clone()
    fire_(model, 40)
    assert torch.equal(model["alone"].weight, alone)
    expected = math.sqrt(5 / 3) * torch.from_numpy(polar(tied.numpy())[0])
    torch.testing.assert_close(model["embed"].weight.data, expected, rtol=1e-4, atol=1e-5)


def test_include_and_normalization() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    before = copy.deepcopy(model.state_dict())
    fire_(model, include=lambda name: name.startswith("2."))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"2.weight"}


def test_bad_input_is_refused_before_anything_is_written() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    before = copy.deepcopy(model.state_dict())
    model[1].weight.data[0, 0] = math.nan
    with pytest.raises(InputError, match=r"1\.weight.*diverged"):
        fire_(model)
    assert torch.equal(model[0].weight, before["0.weight"])
    for iterations in (0, 1.5, True):
        with pytest.raises(InputError, match="iterations"):
            fire_(model, iterations)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no weight matrix"):
        fire_(nn.LayerNorm(3))
    with pytest.raises(InputError, match="parametrization"):
        fire_(nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)))


def test_the_adapter_starts_from_the_parent() -> None:
    model, parent = nn.Linear(4, 6), nn.Linear(4, 5)
    fresh, old = model.weight.data.clone(), parent.weight.data.clone()
    Fire(25)(model, Parent(parent), generator=torch.Generator())
    expected = math.sqrt(5 / 4) * torch.from_numpy(polar(old.numpy())[0])
    torch.testing.assert_close(model.weight.data[:5], expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(model.weight[5:], fresh[5:]) and torch.equal(model.bias[:5], parent.bias)
    assert torch.equal(parent.weight, old)
