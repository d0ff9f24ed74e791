"""Write the report of a store again: one HTML page, JSON and Markdown."""

from __future__ import annotations

from pathlib import Path

import click

from headstart.cli._common import config_option, json_option, open_store, print_json, say, store_option


@click.command()
@click.option("--out", metavar="DIR", help="Folder to write to. Default: `report` in the store's folder.")
@store_option
@config_option
@json_option
def command(*, out: str | None, store: str | None, config: str | None, as_json: bool) -> int:
    """Write report.html, report.json and report.md from what the store holds.

    The page needs no server and no network: open the file.
    """
    from headstart import api, report

    opened = open_store(store, config)
    story = api.story(opened)
    path = report.write(story, Path(out) if out else opened.root / "report")
    if as_json:
        print_json({"report": path, "story": story})
    else:
        say(f"report {path}")
    return 0
