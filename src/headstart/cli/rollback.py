"""Put an earlier champion back in service."""

from __future__ import annotations

import click

from headstart.cli._common import config_option, json_option, open_store, print_json, say, short, store_option


@click.command()
@click.option("--to", metavar="ID", help="Version to go back to. Default: the champion before this one.")
@click.option("--reason", default="", help="Why; it stands in the log.")
@store_option
@config_option
@json_option
def command(*, to: str | None, reason: str, store: str | None, config: str | None, as_json: bool) -> int:
    """Put the champion before the present one, or the version named by --to, back in service.

    Nothing is deleted: the version rolled back from stays in the store, and the log keeps both.
    """
    opened = open_store(store, config)
    before = opened.champion()
    champion = opened.rollback(to, reason=reason)
    if as_json:
        print_json({"champion": champion.id, "before": before.id if before else None, "reason": reason})
    else:
        say(f"champion {short(champion.id)}, before {short(before.id if before else None)}")
    return 0
