"""Small models: shapes, causality, own weights in every layer, and fresh copies."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from headstart.nn.models import MLP, CausalTransformer, SmallConvNet
from headstart.nn.params import fresh_copy
from headstart.nn.resnet import ResNet18
from headstart.nn.streams import generator, seeded

MODELS = {
    "mlp": (lambda: MLP((12, 8, 3)), (2, 3, 4), (2, 3)),
    "convnet": (lambda: SmallConvNet(1, 3), (2, 1, 7, 5), (2, 3)),
    "resnet": (lambda: ResNet18(3, 1, (4, 8, 16, 32)), (2, 1, 9, 8), (2, 3)),
    "transformer": (lambda: CausalTransformer(7, 6, 16, 3), None, (2, 6, 7)),
}


def made(name):
    build, shape, _ = MODELS[name]
    with seeded(0, name):
        model = build()
    draw = generator(0, "inputs")
    inputs = torch.randint(7, (2, 6), generator=draw) if shape is None else torch.randn(shape, generator=draw)
    return model.eval(), inputs


@pytest.mark.parametrize("name", MODELS)
def test_outputs_have_the_promised_shape_and_every_parameter_a_gradient(name):
    model, inputs = made(name)
    outputs = model.train()(inputs)
    assert outputs.shape == MODELS[name][2]
    outputs.square().sum().backward()
    for key, param in model.named_parameters():
        assert param.grad is not None and torch.isfinite(param.grad).all(), key


@pytest.mark.parametrize("name", MODELS)
def test_a_fresh_copy_draws_all_weights_anew(name):
    model, inputs = made(name)
    first = fresh_copy(model, generator=generator(1, "fresh"))
    again = fresh_copy(model, generator=generator(1, "fresh"))
    with torch.no_grad():
        ours, other, same = model(inputs), first.eval()(inputs), again.eval()(inputs)
    assert torch.equal(other, same) and not torch.allclose(ours, other)


def test_the_perceptron_is_what_it_says():
    model, inputs = made("mlp")
    first, second = (layer for layer in model.layers if isinstance(layer, nn.Linear))
    with torch.no_grad():
        want = second(first(inputs.flatten(1)).clamp(min=0))
        assert torch.allclose(model(inputs), want)


def test_the_transformer_sees_no_future():
    model, tokens = made("transformer")
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 7
    for mode in (model.train(), model.eval()):  # evaluation has a fast path of its own
        with torch.no_grad():
            before, after = mode(tokens), mode(changed)
        assert torch.allclose(before[:, :4], after[:, :4], atol=1e-5)
        assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-3)


def test_the_transformer_knows_the_past_and_its_place():
    model, tokens = made("transformer")
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 7
    same = torch.zeros(1, 6, dtype=torch.int64)
    with torch.no_grad():
        assert not torch.allclose(model(tokens)[:, 5], model(changed)[:, 5], atol=1e-4)
        logits = model(same)
    assert not torch.allclose(logits[:, 1], logits[:, 2], atol=1e-4)
    assert model(tokens[:, :3]).shape == (2, 3, 7)


def test_the_blocks_of_the_transformer_start_from_different_weights():
    model, _ = made("transformer")
    assert len(model.blocks) == 3
    for one, other in itertools.combinations(model.blocks, 2):
        assert not torch.equal(one.linear1.weight, other.linear1.weight)


def test_the_standard_resnet_has_the_known_number_of_parameters():
    # 11,173,962: the count of the ResNet-18 for CIFAR-10 in the literature (3x3 stem, width 64).
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_173_962
