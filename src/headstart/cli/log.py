"""List what was put in service, when and why."""

from __future__ import annotations

import dataclasses

import click

from headstart.cli._common import (
    config_option,
    json_option,
    open_store,
    print_json,
    print_table,
    say,
    short,
    store_option,
)


@click.command()
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@store_option
@config_option
@json_option
def command(*, limit: int | None, store: str | None, config: str | None, as_json: bool) -> int:
    """List the events of the store, newest first."""
    events = [dataclasses.asdict(event) for event in reversed(open_store(store, config).log())][:limit]
    if as_json:
        print_json(events)
    elif not events:
        say("nothing yet; `headstart update` makes the first version")
    else:
        head = ("time", "event", "version", "before", "reason")
        rows = [(e["time"], e["kind"], short(e["version"]), short(e["before"]), e["reason"]) for e in events]
        print_table(head, rows)
    return 0
