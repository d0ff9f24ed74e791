"""Show one version: where it comes from, how it was made, and what it proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headstart.cli._common import (
    as_text,
    config_option,
    json_option,
    open_store,
    print_json,
    say,
    store_option,
)


@click.command()
@click.argument("version", default="champion")
@store_option
@config_option
@json_option
def command(*, version: str, store: str | None, config: str | None, as_json: bool) -> int:
    """Show VERSION: an id, its first characters, or `champion` (the default)."""
    opened = open_store(store, config)
    champion = opened.champion()
    if version == "champion" and champion is None:
        say("no version is in service yet")
        return 1
    found = champion if version == "champion" and champion else opened.version(version)
    is_champion = champion is not None and champion.id == found.id
    if as_json:
        print_json(
            {
                "id": found.id,
                "champion": is_champion,
                "parents": found.parents,
                "path": found.path,
                "manifest": found.manifest,
            }
        )
        return 0
    say(f"version  {found.id}{'  (champion)' if is_champion else ''}")
    say(f"parents  {', '.join(found.parents) or '-'}")
    say(f"path     {found.path}")
    _print_tree(found.manifest, "")
    return 0


def _print_tree(values: Mapping[str, Any], indent: str) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            say(f"{indent}{key}:")
            _print_tree(value, indent + "  ")
        elif isinstance(value, (list, tuple)):
            say(f"{indent}{key}: {', '.join(map(as_text, value)) or '-'}")
        else:
            say(f"{indent}{key}: {as_text(value)}")
