"""Compare two versions, or two columns of scores, and decide promote, hold or reject."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from headstart.cli import _scores
from headstart.cli._common import (
    CONFIG_FILE,
    as_text,
    json_option,
    print_json,
    print_table,
    say,
    shade,
    store_at,
)
from headstart.errors import InputError


@click.command()
@click.argument("scores", required=False, metavar="[FILE]")
@click.option("--candidate", metavar="ID", help="Version to judge against the champion, in place of a file.")
@click.option("--store", metavar="DIR", help="Store of the version.")
@click.option("--config", metavar="FILE", help="Configuration with the task, for versions.")
@click.option("--margin", type=float, help="Loss that still counts as no worse. Default: 0.01.")
@click.option("--alpha", type=float, help="Error rate of a promotion. Default: 0.05.")
@json_option
@click.option("--check", is_flag=True, help="Exit with 1 unless the decision is promote.")
def command(
    *,
    scores: str | None,
    candidate: str | None,
    store: str | None,
    config: str | None,
    margin: float | None,
    alpha: float | None,
    as_json: bool,
    check: bool,
) -> int:
    """Decide by paired evidence whether the new is better than the old.

    FILE is CSV or JSON lines with one row per item and the columns `old` and `new`: 0 and 1 for wrong
    and right, or any score where higher is better. A column `group` names items that belong together;
    every further column cuts the items into protected slices.

    \b
    headstart gate scores.csv --margin 0.01 --check
    headstart gate --candidate 3f2a
    """
    rules = {key: value for key, value in (("margin", margin), ("alpha", alpha)) if value is not None}
    if (scores is None) == (candidate is None):
        raise InputError(
            "either a file of scores or a candidate is judged",
            where="headstart gate",
            got="both" if scores else "neither",
            fix="give FILE, or --candidate ID",
        )
    if scores is not None:
        verdict = _scores.judge(Path(scores), **rules)
    else:
        verdict = _judge_version(str(candidate), store, config, rules)
    if as_json:
        print_json(verdict)
    else:
        print_verdict(verdict)
    return 1 if check and verdict["decision"] != "promote" else 0


def _judge_version(
    candidate: str, store: str | None, config: str | None, rules: Mapping[str, float]
) -> dict[str, Any]:
    from headstart import api
    from headstart.lifecycle.config import load_config

    overrides = {f"gate.{key}": value for key, value in rules.items()}
    settings = load_config(config or CONFIG_FILE, overrides)
    opened = store_at(store, settings, create=False)
    if not opened.arrivals():
        raise InputError(
            "the store holds no data to judge by",
            where=f"store {opened.root}",
            got="no arrival",
            fix="`headstart update` brings data in; a file of scores can be judged without a store",
        )
    judged = api.judge(
        settings.task(), opened, candidate, gate=settings.settings.gate, gate_data=settings.gate_data
    )
    return dict(judged["verdict"])


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """A verdict as text: the decision, its reasons, and a row for all items and for each slice."""
    say(shade(verdict["decision"]))
    for reason in verdict["reasons"]:
        say(f"  {reason}")
    if verdict["overall"] is None:  # there was nothing to judge by
        return
    say()
    head = ("items", "n", "won", "lost", "difference", "lower", "margin", "p")
    keys = ("n", "b", "c", "d", "lower", "margin", "p_value")
    parts = [("all", verdict["overall"]), *((part["name"], part) for part in verdict["slices"])]
    print_table(head, [(name, *(part.get(key) for key in keys)) for name, part in parts])
    if verdict.get("regressed"):
        say()
        say(f"items that got worse, counted from 0: {_some(verdict['regressed'])}")


def _some(items: Any, most: int = 10) -> str:
    shown = ", ".join(as_text(item) for item in items[:most])
    return f"{shown}, ..." if len(items) > most else shown
