"""R4: whatever is handed in, a user sees one line that says what is wrong and what to do.

Random configuration files, command lines, data files and store contents go through the same code that
``headstart`` runs. Nothing may come through but an error of ours, nothing may take over five seconds or
grow without bound, and a line that is refused leaves everything as it was.

Inputs are drawn by functions of a ``random.Random`` and not by Hypothesis: its search costs several
times what a case costs, and a case here is a function of the seed and its number, so it can be run again.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.reliability._campaign import Outcome, Setting
from benchmarks.reliability._fuzz import arguments, config, data, store
from benchmarks.reliability._fuzz.driver import Found, Limits, Make, fuzz
from benchmarks.reliability._fuzz.scratch import base_store
from benchmarks.reliability._fuzz.verbs import listing

__all__ = ["FIGURES", "SURFACES", "run", "surface"]

FIGURES = ("R4",)
SURFACES = ("config", "arguments", "data", "store")
WANTED = 20_000
# A child starts from a clean process, so what one case leaves in memory meets a few hundred others.
_SHARE = 500
# The quick subset runs where other work may keep the machine busy.
_LIMITS, _PATIENT = Limits(), Limits(seconds=60.0)


def run(setting: Setting) -> list[Outcome]:
    """Every surface, and what they came to."""
    size = setting.size(WANTED + 1000, 500)
    found = {}
    for name in SURFACES:
        found[name] = surface(name, setting, size)
        setting.say(f"{name}: {size} cases, {len(found[name].broken)} broken")
    return [_outcome(found, setting, size)]


def surface(name: str, setting: Setting, size: int) -> Found:
    """So many cases of one surface."""
    _load()
    folder = setting.folder / name
    folder.mkdir()
    limits = _LIMITS if setting.full else _PATIENT
    made = _made(name, folder)
    sound = listing(folder)
    work = functools.partial(fuzz, made, folder, seed=setting.seed, limits=limits)
    shares = [range(begin, min(begin + _SHARE, size)) for begin in range(0, size, _SHARE)]
    total = Found()
    for number, part in enumerate(_each(work, shares, setting.workers), start=1):
        total.add(part)
        if setting.full and number % 5 == 0:
            setting.say(f"{name}: {number * _SHARE} of {size}, {len(total.broken)} broken")
    if listing(folder) != sound:  # the children's copies are links to its files
        total.broken.append("a committed file was written to in its place")
    return total


def _each(work: functools.partial[Found], shares: list[range], workers: int) -> Iterable[Found]:
    if workers == 1:
        yield from map(work, shares)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(work, shares)


def _made(name: str, folder: Path) -> Make:
    if name == "arguments":
        return arguments.prepare(folder)
    if name == "store":
        return store.prepare(folder)
    base_store(folder / "warm")  # so that no child's first update is slow because of what it imports
    return config.Files if name == "config" else data.Data


def _load() -> None:
    """What the children would otherwise import one after the other; one thread, which survives a fork."""
    for name in ("headstart.api", "headstart.report", "headstart.recipes._runner"):
        importlib.import_module(name)
    os.environ["HF_HUB_OFFLINE"] = "1"  # no name of a tokenizer leads to the network
    torch.set_num_threads(1)


def _outcome(found: dict[str, Found], setting: Setting, size: int) -> Outcome:
    broken = [f"{name}: {line}" for name, part in found.items() for line in part.broken]
    return Outcome(
        figure="R4",
        promise="no input leads to a traceback, a hang or a full memory; what is refused leaves no trace",
        cases=sum(part.kinds.total() for part in found.values()),
        violations=len(broken),
        bar=f"at least {WANTED} cases on each of {len(SURFACES)} surfaces, and no violation",
        met=not broken and all(part.kinds.total() >= WANTED for part in found.values()),
        counts={name: _counts(part) for name, part in found.items()},
        notes=tuple(_notes()),
        examples=tuple(broken[:5]),
    )


def _counts(part: Found) -> dict[str, object]:
    return {
        "cases": part.kinds.total(),
        "kinds": dict(sorted(part.kinds.items())),
        "became": dict(sorted(part.became.items())),
        "slowest_seconds": part.slowest,
        "slowest_case": part.slowest_case,
        "growth_mib": round(part.growth / 2**20),
    }


def _notes() -> Iterator[str]:
    yield "everything runs in the process that makes the input; flushing to disk is switched off"
    yield f"a case may take {_LIMITS.seconds:g} s, and a process of {_SHARE} cases may grow by 512 MiB"
    yield "the demo and the recipes are only called with a line that is refused, for a run takes minutes"
    yield "train.compile is set to false where a verb trains, and no address on a network is drawn"
    yield "a refused line may leave an empty store and the folder of a run; a damaged store may be mended"
