"""List the methods of the library, or show one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from headstart.cli._common import json_option, print_json, print_table, say
from headstart.cli._results import proofs
from headstart.papers import Located, discover, find


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """List the methods: their slugs, families, what they are for, and whether a recipe proves it."""
    return _list(as_json) if ctx.invoked_subcommand is None else 0


@command.command("list")
@json_option
def list_command(*, as_json: bool) -> int:
    """List all methods."""
    return _list(as_json)


@command.command()
@click.argument("slug")
@json_option
def show(*, slug: str, as_json: bool) -> int:
    """Show the method SLUG: its paper, its claim, its proof and how to call it."""
    record = _record(find(slug), proofs())
    if as_json:
        print_json(record)
        return 0
    for key, value in record.items():
        if value:
            say(f"{key:<7}  {value}")
    say(f"use      headstart.methods.load({slug!r})")
    return 0


def _list(as_json: bool) -> int:
    known = proofs()
    records = [_record(item, known) for item in discover()]
    if as_json:
        print_json(records)
        return 0
    head = ("slug", "family", "socket", "year", "proof", "claim")
    print_table(head, [[_cut(str(record[key])) for key in head] for record in records])
    return 0


def _record(item: Located, known: Mapping[str, str]) -> dict[str, Any]:
    proof = known.get(item.paper.slug, "not yet")
    return {**dataclasses.asdict(item.paper), "proof": proof, "module": item.module}


def _cut(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 3].rsplit(" ", 1)[0] + " ..."
