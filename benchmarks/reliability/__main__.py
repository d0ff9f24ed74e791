"""Runs the campaigns and writes what they counted.

``python -m benchmarks.reliability`` runs all at full size; names run some; what was counted before is
kept for the others. A campaign is a file of this folder with ``FIGURES`` and ``run(setting)``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import reliability
from benchmarks.reliability._campaign import Outcome, Setting
from benchmarks.reliability._jail import confine

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "reliability.json"
LIBRARIES = ("headstart", "torch", "safetensors", "sqlalchemy", "hypothesis", "numpy")


def names() -> list[str]:
    """Every campaign, by the name of its file."""
    return sorted(m.name for m in pkgutil.iter_modules(reliability.__path__) if not m.name.startswith("_"))


def campaign(name: str) -> ModuleType:
    """The campaign's module."""
    return importlib.import_module(f"benchmarks.reliability.{name}")


def run(name: str, *, full: bool, seed: int, workers: int) -> dict[str, dict[str, Any]]:
    """One campaign: its outcomes by figure, with the command, the seed and the seconds it took."""
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {name}: {line}", file=sys.stderr, flush=True)

    say("begins")
    with tempfile.TemporaryDirectory(prefix=f"reliability-{name}-") as folder:
        setting = Setting(folder=Path(folder), full=full, seed=seed, workers=workers, say=say)
        outcomes: list[Outcome] = campaign(name).run(setting)
    seconds = round(time.monotonic() - begun, 1)
    command = f"python -m benchmarks.reliability {name} --seed {seed}" + ("" if full else " --quick")
    extra = {"command": command, "seed": seed, "seconds": seconds}
    for outcome in outcomes:
        say(f"{outcome.figure}: {outcome.violations} of {outcome.cases} broken; bar met: {outcome.met}")
    return {outcome.figure: {**outcome.to_dict(), **extra} for outcome in outcomes}


def write(path: Path, found: dict[str, dict[str, Any]]) -> None:
    """Adds outcomes to the file; those of other campaigns stay."""
    known = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.is_file() else {}
    figures = dict(sorted((known | found).items(), key=lambda item: int(item[0][1:])))
    versions = {"python": platform.python_version()} | {n: metadata.version(n) for n in LIBRARIES}
    text = json.dumps({"versions": versions, "cores": os.cpu_count(), "figures": figures}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    """Runs what was asked for; 1 when a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"one of: {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="the fast subset; its counts are only printed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="where the counts go (default: %(default)s)"
    )
    options = parser.parse_args()
    unknown = sorted(set(options.campaigns) - set(names()))
    if unknown:
        parser.error(f"no such campaign: {', '.join(unknown)}; there are: {', '.join(names())}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="reliability-"))
    if confine([scratch, options.out.parent]):
        print("everything but the results and a scratch folder is read-only from here", file=sys.stderr)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    try:
        return campaigns(options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def campaigns(options: argparse.Namespace) -> int:
    """Runs the campaigns that were named, or all."""
    met = True
    for name in options.campaigns or names():
        found = run(name, full=not options.quick, seed=options.seed, workers=options.workers)
        met &= all(outcome["met"] for outcome in found.values())
        if options.quick:
            print(json.dumps(found, indent=1))
        else:
            write(options.out, found)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
