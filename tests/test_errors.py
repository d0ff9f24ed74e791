"""Errors: one line, four parts, JSON, and an exit code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart import errors
from headstart.errors import (
    ConfigError,
    CorruptionError,
    DivergedError,
    HeadstartError,
    InputError,
    InterruptedRunError,
    StoreError,
    UserCodeError,
)


def test_the_line_holds_the_four_parts_in_order() -> None:
    error = InputError("a label is missing", where="new.csv, row 12", got=None, fix="fill column 'label'")
    assert str(error) == (
        "a label is missing | where: new.csv, row 12 | got: None | fix: fill column 'label'"
    )


def test_parts_left_out_leave_no_trace() -> None:
    assert str(HeadstartError("no store here", fix="run `headstart init`")) == (
        "no store here | fix: run `headstart init`"
    )


@given(st.text(), st.text(), st.text(), st.text())
def test_the_line_is_one_line(what: str, where: str, got: str, fix: str) -> None:
    line = str(HeadstartError(what, where=where, got=got, fix=fix))
    assert len(line.splitlines()) <= 1


def test_a_long_value_is_cut() -> None:
    error = InputError("too much", where="x", got="a" * 10_000, fix="less")
    assert len(error.got) == 500
    assert error.got.endswith("…")


def test_a_value_that_is_no_text_is_shown_by_its_repr() -> None:
    assert InputError("bad", where="x", got=[1, "2"], fix="-").got == "[1, '2']"


def test_to_dict_is_json_and_names_the_kind() -> None:
    parts = StoreError("locked", where="runs/a", got="busy", fix="wait").to_dict()
    assert json.loads(json.dumps(parts)) == {
        "error": "StoreError",
        "what": "locked",
        "where": "runs/a",
        "got": "busy",
        "fix": "wait",
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HeadstartError("x"), 1),
        (StoreError("x"), 1),
        (DivergedError("x"), 1),
        (CorruptionError("f", expected="a", found="b"), 1),
        (InputError("x"), 2),
        (UserCodeError("x"), 2),
        (ConfigError(["x"], where="headstart.toml"), 2),
        (InterruptedRunError("x", signal=2), 130),
        (InterruptedRunError("x", signal=15), 143),
    ],
)
def test_exit_codes(error: HeadstartError, code: int) -> None:
    assert error.exit_code == code


def test_an_interruption_does_not_change_the_code_of_the_next() -> None:
    InterruptedRunError("x", signal=2)
    assert InterruptedRunError.exit_code == 1
    assert InterruptedRunError("y", signal=15).exit_code == 143


def test_wrong_input_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="bad"):
        raise InputError("bad", where="x", got=1, fix="-")


def test_a_config_error_lists_every_problem() -> None:
    error = ConfigError(["seed: not a number", "gate.alpa: unknown key"], where="headstart.toml")
    assert error.problems == ("seed: not a number", "gate.alpa: unknown key")
    assert str(error).startswith("2 problems in the configuration | where: headstart.toml | got: seed")
    assert "gate.alpa: unknown key" in str(error)
    assert error.fix
    assert ConfigError(["one"], where="f").what == "1 problem in the configuration"


def test_a_corruption_error_names_file_digests_and_the_last_good_version() -> None:
    error = CorruptionError("versions/ab/model.safetensors", expected="aa", found="bb", last_good="cd")
    assert (error.file, error.expected, error.found, error.last_good) == (
        "versions/ab/model.safetensors",
        "aa",
        "bb",
        "cd",
    )
    for part in ("versions/ab/model.safetensors", "expected aa", "found bb", "last good version: cd"):
        assert part in str(error)
    assert "no earlier version verifies" in str(CorruptionError("f", expected="a", found="b"))


def test_every_public_name_is_an_error_of_ours() -> None:
    assert errors.__all__ == sorted(errors.__all__)
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), HeadstartError)
