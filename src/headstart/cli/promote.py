"""Put a version in service by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headstart.cli._common import config_option, json_option, open_store, print_json, say, short, store_option

if TYPE_CHECKING:
    from headstart.lifecycle.store import Store


@click.command()
@click.argument("version")
@click.option("--reason", required=True, help="Why; it stands in the log.")
@store_option
@config_option
@json_option
def command(*, version: str, reason: str, store: str | None, config: str | None, as_json: bool) -> int:
    """Put VERSION (an id or its first characters) in service.

    The log says that it was done by hand, and whether the version had passed its gate. When another
    process promotes at the same moment, this command fails and changes nothing.
    """
    opened = open_store(store, config)
    chosen, champion = opened.version(version), opened.champion()
    verdict = _own_verdict(opened, chosen.id)
    passed = verdict is not None and verdict.get("decision") == "promote"
    note = reason if passed else f"{reason} (by hand, no gate was passed)"
    opened.promote(chosen.id, expected=champion.id if champion else None, reason=note, verdict=verdict)
    if as_json:
        before = champion.id if champion else None
        print_json({"champion": chosen.id, "before": before, "reason": note, "gate_passed": passed})
    else:
        say(f"champion {short(chosen.id)}, before {short(champion.id if champion else None)}: {note}")
    return 0


def _own_verdict(store: Store, version: str) -> dict[str, Any] | None:
    """The verdict of the update that made the version; None for a version that no update judged."""
    verdicts = [record["verdict"] for _, record in store.records("done") if record["version"] == version]
    return verdicts[-1] if verdicts else None
