"""Look at the installation, the machine and the store, and say what is wrong."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

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
from headstart.errors import InputError, StoreError

_NEEDED = ("torch", "numpy", "safetensors", "sqlalchemy", "pydantic", "click", "rich", "fsspec", "jinja2")
_EXTRA = (
    ("data", ("pyarrow", "pillow", "narwhals", "datasets")),
    ("report", ("plotly",)),
    ("server", ("fastapi", "uvicorn")),
    ("distributed", ("accelerate",)),
    ("hub", ("huggingface-hub", "transformers")),
    ("recipes", ("scikit-learn", "scipy", "matplotlib")),
)


@click.command()
@store_option
@config_option
@click.option("--verify", is_flag=True, help="Read every file of the store and compare it with its digest.")
@json_option
def command(*, store: str | None, config: str | None, verify: bool, as_json: bool) -> int:
    """Print versions, devices, writable places and the health of the store; paste it into an issue.

    Exits with 1 when a library is missing, a place cannot be written to, or the store is damaged.
    """
    libraries, places, health = _libraries(), _places(), _store(store, config, verify)
    problems = [f"{name} is not installed" for name in _NEEDED if not libraries[name]]
    problems += [f"{place} cannot be written to" for place, ok in places.items() if not ok]
    problems += [f"{item['file']} is damaged" for item in (health or {}).get("problems", ())]
    if health and "unreadable" in health.values() and "problems" not in health:
        problems.append("the store cannot be read, --verify lists why")
    found = {"libraries": libraries, "machine": _machine(), "places": places, "store": health}
    if as_json:
        print_json({**found, "problems": problems})
    else:
        _print(found, problems)
    return 1 if problems else 0


def _libraries() -> dict[str, str | None]:
    names = ("headstart", *_NEEDED, *(name for _, extra in _EXTRA for name in extra))
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": devices,
        "executable": sys.executable,
    }


def _places() -> dict[str, bool]:
    places = [Path.cwd(), Path(tempfile.gettempdir())]
    places += [Path(os.environ[name]) for name in ("HEADSTART_DATA", "HF_HOME") if os.environ.get(name)]
    return {str(place): _writable(place) for place in places}


def _writable(place: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _store(store: str | None, config: str | None, verify: bool) -> dict[str, Any] | None:
    try:
        opened = open_store(store, config)
    except InputError:
        if store or config or verify:
            raise
        return None  # nobody asked about a store
    # Only what can be told of a damaged store, too: --verify then lists all that is wrong with it.
    health: dict[str, Any] = {"location": str(opened.root)}
    if verify:
        health["problems"] = [item.to_dict() for item in opened.verify()]
    for name, count in (("versions", opened.version_ids), ("arrivals", opened.arrivals)):
        health[name] = _unless_damaged(lambda count=count: len(count()))  # type: ignore[misc]
    health["champion"] = _unless_damaged(opened.champion_id)
    return health


def _unless_damaged(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except StoreError:
        return "unreadable"


def _print(found: Mapping[str, Any], problems: list[str]) -> None:
    extras = {name: extra for extra, names in _EXTRA for name in names}
    print_table(
        ("library", "version", "needed for"),
        [(name, value or "missing", extras.get(name, "")) for name, value in found["libraries"].items()],
    )
    say()
    for key, value in found["machine"].items():
        say(f"{key:<10}  {', '.join(value) if isinstance(value, list) else value}")
    for place, ok in found["places"].items():
        say(f"{'writable' if ok else 'READ ONLY':<10}  {place}")
    health = found["store"]
    if health:
        say(f"{'store':<10}  {health['location']}")
        say(f"{'':<10}  {health['versions']} versions, {health['arrivals']} arrivals")
        say(f"{'':<10}  champion {short(health['champion'])}")
        _print_damage(health.get("problems"))
    say()
    say("no problem found" if not problems else f"{len(problems)} found: {'; '.join(problems)}")


def _print_damage(damage: list[dict[str, Any]] | None) -> None:
    if damage is None:
        say(f"{'':<10}  files not read (--verify reads them)")
    elif not damage:
        say(f"{'':<10}  every file is what its digest says")
    else:
        print_table(tuple(damage[0]), [tuple(item.values()) for item in damage])
