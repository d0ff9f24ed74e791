"""The flags that say how an update runs, shared by the verbs that train."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from headstart.cli._common import CONFIG_FILE, store_at
from headstart.errors import InputError

if TYPE_CHECKING:
    from headstart.lifecycle.config import Config
    from headstart.lifecycle.store import Store

__all__ = ["Run", "run_options", "split_starts"]

# A flag's parameter and the key of the configuration that it replaces.
_KEYS = {
    "store": "store",
    "data": "data",
    "gate_data": "gate_data",
    "starts": "starts",
    "seed": "seed",
    "steps": "budget.steps",
    "samples": "budget.samples",
    "seconds": "budget.seconds",
}

_OPTIONS = (
    click.option(
        "--config", metavar="FILE", default=CONFIG_FILE, show_default=True, help="Configuration file."
    ),
    click.option("--data", metavar="FILE", help="The new data: a file, or a folder of images."),
    click.option("--gate-data", metavar="FILE", help="Your own sealed items for the gate."),
    click.option("--store", metavar="DIR", help="Folder or database URL of the store."),
    click.option("--starts", metavar="A,B", help="Starts that may race: slugs, or slug:key=value,key=value."),
    click.option("--steps", type=int, help="Budget in optimizer steps, over all entrants together."),
    click.option("--samples", type=int, help="Budget in examples read."),
    click.option("--seconds", type=float, help="Budget in seconds of training."),
    click.option("--seed", type=int, help="Seed of every random stream."),
    click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Any key of the configuration, e.g. train.lr=0.01; may be repeated.",
    ),
    click.option("--quiet", is_flag=True, help="No progress line."),
)


@dataclass(frozen=True)
class Run:
    """A checked configuration with the flags on top, and whether to draw progress."""

    config: Config
    data: str
    quiet: bool

    def open_store(self, *, create: bool) -> Store:
        """The store of the configuration, or of HEADSTART_STORE."""
        return store_at(None, self.config, create=create)


def run_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the flags to a verb; its function gets a :class:`Run` as ``run`` in their place."""

    @functools.wraps(function)
    def verb(*, config: str, assignments: Sequence[str], quiet: bool, **flags: Any) -> int:
        from headstart.lifecycle.config import load_config

        changes = dict(_assignment(text) for text in assignments)
        given = {_KEYS[name]: flags.pop(name) for name in _KEYS if name in flags}
        changes |= {key: value for key, value in given.items() if value is not None}
        if isinstance(changes.get("starts"), str):
            changes["starts"] = split_starts(changes["starts"])
        checked = load_config(config, changes)
        if not checked.data:
            raise InputError(
                "no data is named",
                where="--data",
                got="nothing",
                fix=f"give --data FILE, or `data = ...` in {config}",
            )
        return function(run=Run(checked, checked.data, quiet), **flags)

    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


def split_starts(text: str) -> list[str]:
    """The starts of a list in one argument.

    >>> split_starts("scratch,shrink-perturb:shrink=0.4,noise=0.1,warm")
    ['scratch', 'shrink-perturb:shrink=0.4,noise=0.1', 'warm']
    """
    starts: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if starts and "=" in part and ":" not in part.partition("=")[0]:
            starts[-1] += f",{part}"  # a further setting of the start before
        elif part:
            starts.append(part)
    return starts


def _assignment(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise InputError(
            "not an assignment",
            where="--set",
            got=text,
            fix="write KEY=VALUE, for example --set train.lr=0.01",
        )
    return key.strip(), _value(value.strip())


def _value(text: str) -> Any:
    """A TOML value; what is none is a string, so that words need no quotes."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
