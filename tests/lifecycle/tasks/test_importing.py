"""Models from classes, functions, modules and import paths; tasks from a configuration."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

import headstart as hs
from headstart.errors import InputError, UserCodeError
from headstart.lifecycle.data.rows import Rows

TASKS = hs.tasks
ROWS = Rows({"x": np.arange(6.0), "y": np.arange(6.0), "label": np.array([0, 1, 2] * 2)})


def build(model):
    task = TASKS.TabularClassification(model=model)
    return task.build(task.infer(ROWS))


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear,
        lambda in_features, num_classes: nn.Linear(in_features, num_classes),
        lambda input_shape, vocab_size: nn.Linear(input_shape[0], vocab_size),
        lambda schema: nn.Linear(len(schema.columns), len(schema.target["classes"])),
        lambda inputs, outputs: nn.Linear(inputs, outputs),
        lambda inputs, outputs, /: nn.Linear(inputs, outputs),
        lambda inputs, outputs, bias=False: nn.Linear(inputs, outputs, bias),
        lambda **sizes: nn.Linear(sizes["in_features"], sizes["out_features"]),
        lambda: nn.Linear(2, 3),
        nn.Linear(2, 3),
    ],
)
def test_every_way_to_give_a_model(model):
    built = build(model)
    assert built.weight.shape == (3, 2)


def test_a_module_is_copied_and_drawn_afresh():
    mine = nn.Linear(2, 3)
    before = mine.weight.detach().clone()
    torch.manual_seed(1)
    first, second = build(mine), build(mine)
    torch.manual_seed(1)
    again = build(mine)
    assert torch.equal(mine.weight, before) and first is not mine
    assert not torch.equal(first.weight, second.weight)
    assert torch.equal(first.weight, again.weight)


class NoReset(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))


def raising():
    raise RuntimeError("no such size")


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (NoReset(), InputError, "gain.*a function that builds it"),
        (42, InputError, "of the wrong kind"),
        (lambda: 42, InputError, "no nn.Module"),
        (raising, UserCodeError, "no such size"),
        (lambda: sys.exit(3), UserCodeError, "SystemExit: 3"),
        (lambda width, depth, heads: nn.Linear(2, 3), UserCodeError, "its builder may take: in_features"),
        ("models", InputError, "package.module:name"),
        ("no_such_module_of_mine:build", InputError, "no such module"),
        ("math:no_such_name", InputError, "no such name"),
        ("math:pi", InputError, "nothing that can be built"),
    ],
)
def test_what_builds_no_model_is_refused(model, kind, message):
    with pytest.raises(kind, match=message) as caught:
        build(model)
    assert type(caught.value) is kind
    assert all([caught.value.what, caught.value.where, caught.value.got, caught.value.fix])


@pytest.fixture
def module(tmp_path, monkeypatch):
    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return f"{name}:build"

    yield write
    for name in [n for n in sys.modules if n.startswith("headstart_own_")]:
        del sys.modules[name]


def test_the_current_folder_is_searched_for_the_import_only(module):
    text = (
        "from torch import nn\n\ndef build(in_features, num_classes):\n    return nn.Linear(in_features, 3)\n"
    )
    path = module("headstart_own_good", text)
    before = list(sys.path)
    assert build(path).weight.shape == (3, 2)
    assert sys.path == before


def test_a_module_that_fails_to_import_is_the_users_code(module):
    with pytest.raises(UserCodeError, match="ZeroDivisionError"):
        build(module("headstart_own_zero", "1 / 0\n"))
    with pytest.raises(UserCodeError, match="headstart_own_missing"):
        build(module("headstart_own_chain", "import headstart_own_missing\n"))


def test_a_task_from_a_configuration():
    task = TASKS.task_from_config("tabular-classification", target="label", model="torch.nn:Linear")
    assert task.build(task.infer(ROWS)).weight.shape == (3, 2)
    plain = TASKS.task_from_config("tabular-classification", target="label", hidden=[8])
    assert plain.describe() == TASKS.TabularClassification("label", hidden=(8,)).describe()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("tabular-clasification", {}, "did you mean tabular-classification"),
        ("nothing", {}, "custom"),
        ("tabular-regression", {"target": "y", "allow": 1}, "got: allow.*its options are: target"),
        ("tabular-regression", {}, "missing"),
        ("tabular-classification", {"slices": "sex"}, r"task\.slices.*sex"),
        ("custom", {"model": "a:b"}, "its options are: task"),
        ("custom", {"task": "math:pi"}, "no Task"),
    ],
)
def test_a_wrong_configuration_says_what_is_allowed(kind, options, message):
    with pytest.raises(InputError, match=message):
        TASKS.task_from_config(kind, **options)


def test_a_custom_task_by_import_path(module):
    text = "import headstart as hs\nfrom torch import nn\nbuild = hs.Task(model=nn.Linear, target='label')\n"
    task = TASKS.task_from_config("custom", task=module("headstart_own_task", text))
    assert isinstance(task, hs.Task) and task.target == "label"
