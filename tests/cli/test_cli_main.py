"""The frame around the verbs: help, lazy imports, errors in one line, exit codes."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart import cli
from headstart.cli._guard import exit_code_of
from headstart.errors import DivergedError, InterruptedRunError

HEAVY = ("torch", "sqlalchemy", "rich", "pydantic", "numpy", "scipy", "pandas", "jinja2", "fsspec")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["methods"], ["update", "--help"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys\nfrom headstart.cli import main\ntry:\n    main({words!r})\nexcept SystemExit as end:\n"
        f"    print('code', end.code)\nprint('heavy', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = _python(code)
    assert done.stdout.splitlines()[-2:] == ["code 0", "heavy []"], done.stderr


def test_help_names_every_verb_with_the_first_line_of_its_file(run: Callable[..., Any]) -> None:
    text = " ".join(run("--help").stdout.split())
    for verb in cli.VERBS:
        module = __import__(f"headstart.cli.{verb}", fromlist=["command"])
        assert f"{verb} {module.__doc__.splitlines()[0]}" in text
        assert isinstance(module.command, click.Command)


def test_every_file_of_a_verb_is_listed() -> None:
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py") if not path.name.startswith("_")}
    assert files == set(cli.VERBS)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself_and_each_option(verb: str, run: Callable[..., Any]) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0 and result.stdout.startswith(f"Usage: headstart {verb}")
    command = __import__(f"headstart.cli.{verb}", fromlist=["command"]).command
    parts = [command, *getattr(command, "commands", {}).values()]
    assert all(part.help for part in parts)
    assert all(item.help for part in parts for item in part.params if isinstance(item, click.Option))


def test_the_same_verb_is_help_without_a_verb(run: Callable[..., Any]) -> None:
    assert run().stdout == run("--help").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["updat"], "did you mean `headstart update`?"),
        (["zzz"], "use one of: demo"),
        (["update", "--dta", "x"], "--data"),
        (["--verbose"], "headstart --help"),
        (["update", "--steps", "many"], "'many' is not a valid integer"),
        (["promote"], "VERSION"),
        (["recipe", "ru"], "run"),
        (["recipe"], "headstart recipe --help"),
        (["recipe", "run", "x", "--scale", "tiny"], "toy"),
        (["show", "a", "b"], "unexpected extra argument"),
        (["log", "--limit", "0"], "--limit"),
    ],
)
def test_usage_errors_are_one_line_with_advice(
    words: list[str], expected: str, run: Callable[..., Any], fails: Callable[..., str]
) -> None:
    assert expected in fails(run(*words))


def _code_and_line(
    error: BaseException, capsys: pytest.CaptureFixture[str], **options: bool
) -> tuple[int, str]:
    def fail() -> None:
        raise error

    code = exit_code_of(fail, **options)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DivergedError("loss is nan", where="step 3", got="nan", fix="lower lr"), 1),
        (InterruptedRunError("stopped", signal=15, where="step 3", fix="run again"), 143),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"), 2),
        (IsADirectoryError(errno.EISDIR, "Is a directory", b"a"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (OSError("odd"), 1),
    ],
)
def test_known_errors_have_their_code_and_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found, text = _code_and_line(error, capsys)
    assert found == code
    assert len(text.splitlines()) == 1 and text.startswith("headstart: error: ") and " | where: " in text


def test_an_argument_with_a_nul_byte_is_refused(run: Callable[..., Any], fails: Callable[..., str]) -> None:
    assert "NUL byte" in fails(run("init", "a\x00b"))


def test_an_interrupt_is_130_and_a_closed_pipe_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code_and_line(KeyboardInterrupt(), capsys) == (130, "")
    assert _code_and_line(click.Abort(), capsys) == (130, "")


def test_a_closed_pipe_says_nothing() -> None:
    code = (
        "import os, sys\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
        "from headstart.cli import main\nmain(['--help'])"
    )
    done = _python(code)
    assert done.returncode == 1
    assert done.stderr == ""


def test_a_bug_is_one_line_and_the_flag_shows_where(
    run: Callable[..., Any], api: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError("in\nthe loss")

    monkeypatch.setattr("headstart.api.update", broken)
    result = run("update")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ZeroDivisionError: in the loss" in result.stderr and "run again with --traceback" in result.stderr
    for words in (["--traceback", "update"], ["update", "--traceback"]):
        shown = run(*words)
        assert shown.exit_code == 1
        assert "Traceback (most recent call last)" in shown.stderr and "in broken" in shown.stderr


def test_control_characters_and_line_ends_cannot_leave_the_line(
    run: Callable[..., Any], fails: Callable[..., str]
) -> None:
    line = fails(run("bad\x07\x1b[31m\nverb\u2028\ud800"))
    assert line.isprintable()


WORDS = st.one_of(
    st.sampled_from(
        [
            *(
                "update",
                "race",
                "gate",
                "promote",
                "rollback",
                "log",
                "show",
                "report",
                "methods",
                "recipe",
                "init",
            ),
            *(
                "list",
                "run",
                "show",
                "--json",
                "--store",
                "--config",
                "--data",
                "--steps",
                "--seed",
                "--set",
                "x",
            ),
            *(
                "--check",
                "--force",
                "--to",
                "--reason",
                "--target",
                "none.toml",
                "headstart.toml",
                "-1",
                "--",
                "",
            ),
        ]
    ),
    st.text(max_size=6),
)


@settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(words=st.lists(WORDS, max_size=6))
def test_any_command_line_ends_with_a_code_and_no_traceback(
    words: list[str], run: Callable[..., Any], api: Any
) -> None:
    result = run(*words)
    assert result.exit_code in (0, 1, 2)
    assert "Traceback" not in result.output
    if result.exit_code == 2:
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
    assert "this is a bug" not in result.stderr, result.stderr
