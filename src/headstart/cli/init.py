"""Write a commented headstart.toml that runs as it is."""

from __future__ import annotations

import csv
import json
import os
import random
import string
from pathlib import Path
from typing import IO

import click

from headstart.cli._common import CONFIG_FILE, json_option, print_json, say
from headstart.errors import InputError

_TEMPLATE = Path(__file__).with_name("template.toml")
_EXAMPLE = ("arrival-1.csv", "arrival-2.csv")
_CENTERS = {"ash": (2.0, 5.0, 1.0), "birch": (3.0, 3.5, 2.0), "cedar": (4.5, 4.0, 0.5)}


@click.command()
@click.argument("folder", default=".", metavar="[DIR]")
@click.option("--data", metavar="FILE", help="Your first data; the kind of task is guessed from it.")
@click.option("--target", metavar="COL", help="Column to predict.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@json_option
def command(*, folder: str, data: str | None, target: str | None, force: bool, as_json: bool) -> int:
    """Write headstart.toml into DIR, for your own data or for a small made-up example.

    \b
    headstart init --data sales.csv --target bought
    headstart init example && cd example && headstart update
    """
    if target and not data:
        raise InputError("a target needs data", where="--target", got=target, fix="give --data FILE, too")
    place = Path(folder)
    if data:
        kind, options = _look_at(data, target)
        relative = Path(os.path.relpath(data, place)).as_posix()
    else:
        kind, options, relative = "tabular-classification", {"target": "label"}, _EXAMPLE[0]
    text = _config(kind, options, relative, example=not data)
    place.mkdir(parents=True, exist_ok=True)
    written = [place / CONFIG_FILE, *(place / name for name in (() if data else _EXAMPLE))]
    _refuse_existing(written, force)
    for seed, path in enumerate(written[1:]):
        _write_example(path, seed)
    written[0].write_text(text, encoding="utf-8")
    if as_json:
        print_json({"written": written, "kind": kind, "options": options, "data": relative})
    else:
        say(f"wrote {', '.join(map(str, written))}: {kind}")
        say(f"next: headstart update --config {written[0]}" if folder != "." else "next: headstart update")
    return 0


def _look_at(data: str, target: str | None) -> tuple[str, dict[str, str]]:
    from headstart.cli._guess import guess
    from headstart.lifecycle.data.read import read

    return guess(read(Path(data)), target)


def _config(kind: str, options: dict[str, str], data: str, *, example: bool) -> str:
    task = [f"kind = {_quoted(kind)}", *(f"{key} = {_quoted(value)}" for key, value in options.items())]
    note = (
        f"a made-up example; then try --data {_EXAMPLE[1]}"
        if example
        else "the new data; --data wins over it"
    )
    template = string.Template(_TEMPLATE.read_text(encoding="utf-8"))
    hint = f"--data {_EXAMPLE[1]}" if example else "--data FILE"
    return template.substitute(hint=hint, data=f"data = {_quoted(data)}  # {note}", task="\n".join(task))


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _refuse_existing(paths: list[Path], force: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise InputError(
            "the file is there already",
            where=", ".join(there),
            got="a file",
            fix="choose another folder, or overwrite it with --force",
        )


def _write_example(path: Path, seed: int) -> None:
    """600 trees of three kinds whose measures overlap a little."""
    with path.open("w", encoding="utf-8", newline="") as file:
        _write_rows(file, random.Random(seed))


def _write_rows(file: IO[str], stream: random.Random) -> None:
    rows = csv.writer(file)
    rows.writerow(["height", "girth", "age", "soil", "label"])
    for _ in range(600):
        label = stream.choice(sorted(_CENTERS))
        measures = [f"{stream.gauss(center, 0.6):.3f}" for center in _CENTERS[label]]
        rows.writerow([*measures, stream.choice(["clay", "loam", "sand"]), label])
