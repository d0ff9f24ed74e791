"""Tasks by kind and options, and custom ones by import path."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.errors import InputError, UserCodeError
from headstart.lifecycle.tasks import task_from_config
from headstart.lifecycle.tasks.configured import KINDS
from headstart.lifecycle.tasks.importing import describe_model, import_object


def refused(work: Any, *words: str, error: type[InputError] = InputError) -> InputError:
    with pytest.raises(error) as caught:
        work()
    assert type(caught.value) is error and all(caught.value.to_dict().values()), caught.value.to_dict()
    for word in words:
        assert word in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_function_of_its_name(kind: str) -> None:
    options = {"target": "price"} if kind == "tabular-regression" else {}
    task = task_from_config(kind, **options)
    assert task.name == kind and task.describe() == KINDS[kind](**options).describe()


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_option_is_refused_with_those_there_are(kind: str) -> None:
    error = refused(lambda: task_from_config(kind, colour="red"), kind, "colour", "slices")
    assert error.where == "task"


@pytest.mark.parametrize("kind", [None, 5, ["tabular-classification"], "", "audio"])
def test_an_unknown_kind_is_refused(kind: Any) -> None:
    refused(lambda: task_from_config(kind), "task.kind", "unknown kind")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "headstart_configured_case.py").write_text(
        "import headstart as hs\nfrom torch import nn\n"
        "def make():\n    return hs.Task(model=nn.Linear, target='kind')\n"
        "def broken():\n    raise ZeroDivisionError('no')\n"
        "def wrong():\n    return 5\n"
    )
    (tmp_path / "headstart_configured_exit.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.chdir(tmp_path)
    return "headstart_configured_case"


def test_a_custom_task_comes_from_a_function(package: str) -> None:
    assert task_from_config("custom", task=f"{package}:make").target == "kind"
    error = refused(
        lambda: task_from_config("custom", task=f"{package}:broken"),
        "ZeroDivisionError: no",
        error=UserCodeError,
    )
    assert isinstance(error.__cause__, ZeroDivisionError) and "task.task" in error.where
    refused(lambda: task_from_config("custom", task=f"{package}:wrong"), "no Task", "int")
    refused(lambda: task_from_config("custom", task=f"{package}:none"), "task.task", "no such name", "make")
    refused(lambda: task_from_config("custom", task="headstart_no_such:x"), "task.task", "no such module")
    refused(lambda: task_from_config("custom"), "task.task", "package.module:name")


def test_a_module_that_leaves_the_process_is_the_users_error(package: str) -> None:
    refused(lambda: import_object("headstart_configured_exit:x"), "SystemExit: 3", error=UserCodeError)


def test_the_description_of_a_model_is_the_same_in_every_process() -> None:
    def build(activation: Any) -> torch.nn.Module:
        return torch.nn.Sequential(activation)

    text = describe_model(functools.partial(build, activation=lambda x: x))
    assert "0x" not in text and "build" in text and "activation" in text
    assert describe_model(torch.nn.Linear(2, 3)) != describe_model(torch.nn.Linear(3, 2))
    assert describe_model("a.b:c") == "a.b:c"
