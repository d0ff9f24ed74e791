"""The command line: one file per verb, imported when the verb is called.

``headstart --help`` reads the first line of each verb's file as text, so that it needs neither torch
nor any other library than click. A verb's file holds ``command``, a click command whose function
returns the exit code (None for 0).
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from headstart.cli._guard import exit_code_of
from headstart.errors import InputError

__all__ = ["VERBS", "main"]

VERBS = (
    "demo",
    "init",
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
    "doctor",
)


class _Verbs(click.Group):
    """click's own way to load commands late is to subclass its group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verb = args[0]
        if verb not in VERBS and not verb.startswith("-"):
            near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
            advice = f"did you mean `headstart {near[0]}`?" if near else f"use one of: {', '.join(VERBS)}"
            raise InputError("there is no such verb", where="headstart", got=verb, fix=advice)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, _summary(verb)) for verb in VERBS])

    def main(self, *given: Any, **extra: Any) -> Any:
        """Run a verb, print an error as one line, and leave with the exit code."""
        args = given[0] if given else extra.pop("args", None)
        words = list(sys.argv[1:] if args is None else args)
        traceback = "--traceback" in words  # wherever it stands: it is added to a line that failed
        words = [word for word in words if word != "--traceback"]
        run = super().main
        extra.update(prog_name="headstart", standalone_mode=False)

        def checked() -> Any:
            _refuse_nul(words)
            return run(words, **extra)

        sys.exit(exit_code_of(checked, traceback=traceback))


def _refuse_nul(words: list[str]) -> None:
    """No file, folder or name has one; a shell cannot hand it over, but a program can."""
    word = next((word for word in words if "\x00" in word), None)
    if word is not None:
        raise InputError("an argument holds a NUL byte", where="headstart", got=word, fix="leave it out")


def _summary(verb: str) -> str:
    """First line of the docstring of a verb's file, without importing it."""
    text = (Path(__file__).parent / f"{verb}.py").read_text(encoding="utf-8")
    return text.removeprefix('"""').partition("\n")[0].removesuffix('"""')


def _print_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"headstart {version('headstart')}")
        ctx.exit()


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed or (with --check) not promoted, 2 wrong input, 130/143 interrupted.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.option(
    "--traceback", is_flag=True, expose_value=False, help="Show the Python traceback of an error, too."
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keeps a model current: starts each training run from what is known, proves the new version
    against the one in service, and only then puts it in service.

    Start with `headstart demo --out demo`, or with `headstart init` on your own data."""
    ctx.color = False if os.environ.get("NO_COLOR") else None
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
