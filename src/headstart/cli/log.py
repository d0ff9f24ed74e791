"""List what was put in service, when and why."""

from __future__ import annotations

from datetime import UTC, datetime

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
    events = list(reversed(open_store(store, config).log()))[:limit]
    if as_json:
        print_json([event.to_dict() for event in events])
    elif not events:
        say("nothing yet; `headstart update` makes the first version")
    else:
        rows = [(_when(e.created), e.kind, short(e.version), short(e.previous), e.reason) for e in events]
        print_table(("time (UTC)", "event", "version", "before", "reason"), rows)
    return 0


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
