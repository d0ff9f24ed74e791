"""The configuration file: precedence, all problems at once, defaults that agree with the settings."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import ConfigError, HeadstartError, InputError
from headstart.lifecycle.budget import Budget
from headstart.lifecycle.config import load_config
from headstart.lifecycle.settings import Settings, TrainSettings

TASK = '[task]\nkind = "tabular-classification"\ntarget = "label"\n'


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "headstart.toml"
    path.write_text(text)
    return path


def test_a_file_with_a_task_alone_has_every_default(tmp_path: Path) -> None:
    config = load_config(_file(tmp_path, TASK))
    assert (config.kind, dict(config.options)) == ("tabular-classification", {"target": "label"})
    assert config.settings == Settings()
    assert config.budget == Budget()
    assert (config.seed, config.starts, config.store, config.data) == (0, None, None, None)


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = _file(tmp_path, f"seed = 3\n{TASK}[train]\nlr = 0.5\nepochs = 7\n")
    config = load_config(path, {"train.lr": 0.25, "budget.steps": 10})
    assert config.settings.train == TrainSettings(lr=0.25, epochs=7)
    assert config.budget == Budget(steps=10)
    assert config.seed == 3


def test_all_problems_are_reported_at_once_with_their_keys(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        'stroe = "x"\nseed = "one"\nfractions = [0.9, 0.9, 0.1]\nretention = "some"\nlr = 1\n'
        "[task]\ntarget = 1\n[train]\nlr = -1\nepochs = 2.5\nbatchsize = 3\n[budget]\nsteps = 0\n"
        "[gate]\nalpha = 2.0\n[race]\nshare = 3\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    problems = {re.split(r" = |: ", problem)[0]: problem for problem in caught.value.problems}
    assert set(problems) == {
        *("stroe", "seed", "fractions", "retention", "lr", "task.kind"),
        *("train.lr", "train.epochs", "train.batchsize", "budget.steps", "gate.alpha", "race.share"),
    }
    assert "did you mean 'store'?" in problems["stroe"]
    assert "did you mean train.lr?" in problems["lr"]
    assert "did you mean 'batch_size'?" in problems["train.batchsize"]
    assert "above 0" in problems["train.lr"] and "-1" in problems["train.lr"]
    assert "missing" in problems["task.kind"]


@pytest.mark.parametrize(
    "text",
    ["", "x", "[task", "a = " + "[" * 3000, "n = " + "9" * 5000, TASK + "[task]\n", "seed = 1e999\n" + TASK],
)
def test_what_is_no_toml_or_no_configuration_is_a_config_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_config(_file(tmp_path, text))


def test_bytes_that_are_not_utf8_are_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "headstart.toml"
    path.write_bytes(b"store = '\xff\xfe'\n")
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(path)


@pytest.mark.parametrize("value", ["1" + "0" * 400, "nan", "inf", "true", "'3'", "[1]", "{}"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.lr"):
        load_config(_file(tmp_path, f"{TASK}[train]\nlr = {value}\n"))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="headstart init"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["pipe", ".", "/dev/zero", "loop", "a\x00b", "x" * 300, "headstart.toml/x"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    _file(tmp_path, TASK)
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"no (regular|configuration) file"):
        load_config(tmp_path / name)


def test_paths_are_relative_to_the_file_and_flags_to_the_working_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    path = _file(folder, f'store = "s"\ndata = "d.csv"\ngate_data = "/g.csv"\n{TASK}')
    config = load_config(path, {"data": "other.csv"})
    assert (config.store, config.data, config.gate_data) == (str(folder / "s"), "other.csv", "/g.csv")
    url = load_config(_file(folder, f'store = "postgresql://h/db"\nartifacts = "s3://b"\n{TASK}'))
    assert (url.store, url.artifacts) == ("postgresql://h/db", "s3://b")


def test_arguments_are_those_of_update(tmp_path: Path) -> None:
    text = f'starts = ["warm"]\nfractions = [0.6, 0.2, 0.2]\nretention = "replay:9"\n{TASK}'
    arguments = load_config(_file(tmp_path, text)).arguments()
    assert arguments["starts"] == ("warm",)
    assert arguments["fractions"] == (0.6, 0.2, 0.2)
    assert arguments["retention"] == "replay:9"
    assert arguments["train"] == TrainSettings()


KEYS = [
    "task",
    "kind",
    "target",
    "store",
    "seed",
    "starts",
    "train",
    "lr",
    "budget",
    "steps",
    "fractions",
    "gate",
]
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)  # Python's text of a string or None is often no TOML, which is part of the fuzz


@settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5), tail=st.text(max_size=10))
def test_any_file_is_read_or_refused(tmp_path: Path, table: dict[str, object], tail: str) -> None:
    path = tmp_path / "headstart.toml"
    lines = [f"{key} = {_toml(value)}" for key, value in table.items()]
    path.write_text("\n".join([*lines, tail]), encoding="utf-8", errors="surrogatepass")
    error = _error_of(path)
    assert error is None or (error.exit_code == 2 and len(str(error).splitlines()) == 1)


def _error_of(path: Path) -> HeadstartError | None:
    try:
        load_config(path)
    except HeadstartError as error:
        return error
    return None


def test_the_template_shows_the_true_defaults(tmp_path: Path) -> None:
    from headstart.cli.init import _config

    text = _config("tabular-classification", {"target": "label"}, "new.csv", example=False)
    path = _file(tmp_path, text)
    assert load_config(path).budget == Budget(steps=4000)
    unset = (
        "samples",
        "seconds",
        "patience",
        "clip_grad_norm",
        "autocast",
        "starts",
        "group",
        "slices",
        "model",
    )
    shown = [
        line.removeprefix("# ")
        for line in text.splitlines()
        if not line.startswith("# ") or re.match(r"# (\w+) = ", line)
    ]
    kept = [line for line in shown if not line.startswith(tuple(f"{name} = " for name in unset))]
    assert "train" in tomllib.loads("\n".join(kept))
    config = load_config(_file(tmp_path, "\n".join(kept)))
    assert config.settings == Settings()
    everything = load_config(_file(tmp_path, "\n".join(shown)))  # the examples are valid, too
    assert everything.starts == ("scratch", "warm", "shrink-perturb")
