"""What several verbs share: options, the way to a store, and the printing of results."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headstart.errors import InputError

if TYPE_CHECKING:
    from headstart.lifecycle.config import Config
    from headstart.lifecycle.store import Store

__all__ = [
    "CONFIG_FILE",
    "as_text",
    "config_option",
    "is_leader",
    "json_option",
    "open_store",
    "print_json",
    "print_table",
    "say",
    "shade",
    "short",
    "store_at",
    "store_option",
]

CONFIG_FILE = "headstart.toml"
_COLORS = {"promote": "green", "hold": "yellow", "reject": "red"}
_F = TypeVar("_F", bound=Callable[..., Any])


def json_option(function: _F) -> _F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def store_option(function: _F) -> _F:
    """Add ``--store``."""
    text = "Folder or database URL of the store. Default: the config's, then HEADSTART_STORE."
    return click.option("--store", metavar="DIR", help=text)(function)


def config_option(function: _F) -> _F:
    """Add ``--config``."""
    text = f"Configuration file. Default: {CONFIG_FILE} where there is one."
    return click.option("--config", metavar="FILE", help=text)(function)


def open_store(store: str | None, config: str | None = None, *, create: bool = False) -> Store:
    """The store that a flag, the configuration file or HEADSTART_STORE names, in this order.

    Raises:
        InputError: none of them names one, or there is none at that place and ``create`` is off.
    """
    found: Config | None = None
    if not store and (config or Path(CONFIG_FILE).is_file()):
        from headstart.lifecycle.config import load_config

        found = load_config(config or CONFIG_FILE)
    return store_at(store, found, create=create)


def store_at(store: str | None, config: Config | None, *, create: bool) -> Store:
    """Like :func:`open_store`, with the configuration already read."""
    named = config.store if config else None
    location = store or named or os.environ.get("HEADSTART_STORE", "")
    if not location:
        raise InputError(
            "no store is named",
            where="--store",
            got="nothing",
            fix=f"give --store DIR, or `store = ...` in {CONFIG_FILE}, or set HEADSTART_STORE",
        )
    if not create and "://" not in location and not (Path(location) / "store.db").is_file():
        raise InputError(
            "there is no store here",
            where="--store",
            got=location,
            fix="name the folder that `headstart update` wrote to",
        )
    from headstart.lifecycle.store import Store

    return Store(location, artifacts=config.artifacts if config and location == named else None)


def is_leader() -> bool:
    """Whether this process prints: under ``torchrun`` only the first does."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str = "") -> None:
    """Print a line of a result, whatever it holds and the terminal can show."""
    if is_leader():
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def shade(decision: str) -> str:
    """A decision in its color; click drops the color when piped, and when NO_COLOR is set."""
    return click.style(decision, fg=_COLORS.get(decision), bold=True)


def short(version: str | None) -> str:
    """The first 12 characters of an id, which any verb takes in place of the whole."""
    return version[:12] if version else "-"


def print_json(value: Any) -> None:
    """Print a value as strict JSON: numbers that are not finite become null."""
    say(json.dumps(_plain(value), indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned columns, numbers to the right."""
    body = [list(row) for row in rows]
    cells = [list(head), *[[as_text(cell) for cell in row] for row in body]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    right = [any(_is_number(row[column]) for row in body) for column in range(len(head))]
    for line in cells:
        padded = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ]
        say("  ".join(padded).rstrip())


def as_text(value: Any) -> str:
    """A value as a cell of a table: four digits of a fraction, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        small = 0 < abs(value) < 1e-4
        return f"{value:.1e}" if small else f"{value:.4f}" if math.isfinite(value) else "-"
    return " ".join(str(value).split())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
