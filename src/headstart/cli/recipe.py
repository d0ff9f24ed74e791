"""Run a recipe: the experiment that proves a method's claim."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

import click

from headstart.cli._common import json_option, print_json, print_table, say
from headstart.cli._progress import progress_line
from headstart.cli._results import verdict_of
from headstart.errors import InputError

_FOLDER = Path(__file__).parents[1] / "recipes"
_MOST_SEEDS = 1000


@click.group()
def command() -> None:
    """List the recipes, or run one. A recipe reproduces a method's claim and writes a result file."""


@command.command("list")
@json_option
def list_command(*, as_json: bool) -> int:
    """List all recipes."""
    records = [
        {"slug": slug, "verdict": verdict_of(slug), "about": _about(path)}
        for slug, path in _recipes().items()
    ]
    if as_json:
        print_json(records)
    elif records:
        print_table(tuple(records[0]), [tuple(record.values()) for record in records])
    return 0


@command.command()
@click.argument("slug")
@click.option(
    "--scale",
    type=click.Choice(("toy", "small", "full")),
    default="small",
    show_default=True,
    help="How much to run.",
)
@click.option("--seeds", metavar="0,1,2|0-4", help="Seeds to run. Default: the recipe's own.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes at once."
)
@click.option("--out", metavar="PATH", help="Where to write the result. Default: results/SLUG.SCALE.json.")
@click.option("--quiet", is_flag=True, help="No progress line.")
@json_option
def run(
    *, slug: str, scale: str, seeds: str | None, workers: int, out: str | None, quiet: bool, as_json: bool
) -> int:
    """Run the recipe SLUG at one of three scales.

    toy takes seconds and only shows that the code runs; small reproduces the direction of the claim on
    two CPU cores; full is the paper's own setting.
    """
    if slug not in _recipes():
        near = difflib.get_close_matches(slug, list(_recipes()), n=1, cutoff=0.4) or list(_recipes())
        raise InputError(
            "no recipe has this slug",
            where="headstart recipe run",
            got=slug,
            fix=f"use {' or '.join(near)}; `headstart recipe list` lists all",
        )
    chosen = parse_seeds(seeds) if seeds is not None else None
    from headstart.recipes import _runner

    with progress_line(quiet=quiet) as progress:
        path = _runner.run_recipe(
            slug,
            scale=scale,
            seeds=chosen,
            workers=workers,
            out=Path(out) if out else None,
            progress=progress,
        )
    if as_json:
        print_json({"slug": slug, "scale": scale, "result": path})
    else:
        say(f"result {path}")
    return 0


def parse_seeds(text: str) -> list[int]:
    """Seeds from a list of numbers and ranges, both ends included.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 16 for end in ends):
            raise _bad_seeds(text)
        low, high = int(ends[0]), int(ends[1])
        if not 0 <= high - low < _MOST_SEEDS:
            raise _bad_seeds(text)
        seeds.extend(range(low, high + 1))
    if len(set(seeds)) != len(seeds):
        raise _bad_seeds(text)
    return seeds


def _bad_seeds(text: str) -> InputError:
    return InputError(
        "not a list of different seeds",
        where="--seeds",
        got=text,
        fix="write whole numbers from 0 and ranges, for example 0,1,2 or 0-4",
    )


def _recipes() -> dict[str, Path]:
    files = sorted(_FOLDER.glob("*.py"))
    return {path.stem.replace("_", "-"): path for path in files if not path.name.startswith("_")}


def _about(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
