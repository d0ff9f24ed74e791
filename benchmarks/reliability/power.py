"""The power fails at any moment: what was promised is on the disk, and the work can go on.

A real process works on a store while every write, flush, renaming and removal that it and SQLite make is
written down. Then, for moments all over the recording, the disk is built as it can look if the power
fails there (see ``_crash``), the store on it is opened and everything in it is read and checked.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.reliability._campaign import Outcome, Setting, Tally, paced
from benchmarks.reliability._crash import LUCK, Disk, Entry, File, Folder, Luck, Tree, materialize, recording
from benchmarks.reliability._recorded import NO_RECORDER, STEPS, look, work

FIGURES = ("R7",)
ROOT = Path(__file__).resolve().parents[2]
RECORDER = Path(__file__).with_name("_recorder.c")
MEMORY = Path("/dev/shm")
# Without some of the flushes the same check must find what they are there for.
DEAF: dict[str, tuple[type, ...]] = {
    "no flush": (File, Folder),
    "no flush of files": (File,),
    "no flush of folders": (Folder,),
}
# What a store lists, and the steps that add to it.
LISTS = {
    "arrivals": ("arrival",),
    "versions": ("commit",),
    "log": ("promote", "rollback"),
    "records": ("record",),
}


Step = tuple[str, int]


class Unavailable(Exception):
    """The recorder cannot be built or started here."""


class Moment(NamedTuple):
    """An instant of the recording at which the power fails, and what then reaches the disk.

    Attributes:
        entry: how many entries had been written down.
        returned: how many steps had returned.
        begun: how many had begun; one more than had returned, or as many.
        luck: what becomes of what was not flushed.
        seed: of that luck.
    """

    entry: int
    returned: int
    begun: int
    luck: Luck = LUCK[0]
    seed: int = 0

    @property
    def step(self) -> str:
        """The step that was at work, or had just returned."""
        return STEPS[self.begun - 1][0] if self.begun else "nothing"


def run(setting: Setting) -> list[Outcome]:
    """Every image of a disk holds what was promised."""
    try:
        entries = record(setting.folder)
    except Unavailable as error:
        return [_outcome(Tally(), {}, 1, (f"not run: {error}",))]
    whole = look(setting.folder / "disk" / "store")
    chosen = _different(setting, entries, setting.size(2400, 48))
    # On some of the images the work is done again, which costs more than all that is read.
    tally, again, seen = Tally(), setting.size(6, 16), set()
    disks = images(setting, entries, chosen)
    for number, (moment, tree) in enumerate(zip(paced(chosen, setting.say, "images"), disks, strict=True)):
        seen.add(hash(str(tree)))
        tally.case(moment.step, check(setting.folder, tree, moment, whole, again=number % again == 0))
    counts = {
        "recorded": len(entries),
        "moments": len({moment.entry for moment in chosen}),
        "different images": len(seen),
        "work done again": len(range(0, len(chosen), again)),
        "images by step": dict(sorted(tally.cases.items())),
        "broken without flushes": {
            name: _without(setting, entries, whole, kinds) for name, kinds in DEAF.items()
        },
    }
    return [_outcome(tally, counts, len(chosen))]


def _without(setting: Setting, entries: list[Entry], whole: dict[str, Any], deaf: tuple[type, ...]) -> str:
    """How many images are broken when flushes do nothing."""
    chosen = _choose(_moments(entries), setting.size(240, 8))
    disks = images(setting, entries, chosen, deaf)
    found = [
        check(setting.folder, tree, moment, whole, again=False)
        for moment, tree in zip(chosen, disks, strict=True)
    ]
    return f"{sum(problem is not None for problem in found)} of {len(found)}"


def _outcome(tally: Tally, counts: dict[str, Any], wanted: int, notes: tuple[str, ...] = ()) -> Outcome:
    blind = [
        name for name, found in counts.get("broken without flushes", {}).items() if found.startswith("0 ")
    ]
    return Outcome(
        figure="R7",
        promise="after a power cut everything that had returned is there, and the rest can be done again",
        cases=tally.total,
        violations=len(tally.broken),
        bar="no violation over at least 1500 images of a disk; some where flushes are left out",
        met=tally.total >= wanted and not tally.broken and not blind,
        counts=counts,
        notes=notes,
        examples=tuple(tally.broken),
    )


# -------------------------------------------------------------------------------------- recording


def record(folder: Path) -> list[Entry]:
    """Does the work in ``folder/disk/store`` and gives what was written down, after a look that it is all."""
    if not shutil.which("gcc"):
        raise Unavailable("gcc, which builds the recorder, is not installed")
    library, disk = folder / "recorder.so", folder / "disk"
    _run("gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(RECORDER))
    disk.mkdir()
    place = disk.resolve()
    to = folder / "recording"
    _run(sys.executable, "-m", "benchmarks.reliability._recorded", str(place), str(library), str(to))
    entries = recording(to)
    model = Disk(str(place))
    for entry in entries:
        model.apply(entry)
    if model.image(Luck(1, 1), Random(0)) != _read(disk):
        raise RuntimeError(
            "the recording does not lead to what is on the disk; the recorder missed something"
        )
    return entries


def _run(*words: str) -> None:
    done = subprocess.run(
        words,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == NO_RECORDER:
        raise Unavailable(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stderr[-2000:]}")


def _read(folder: Path) -> Tree:
    return {p.name: _read(p) if p.is_dir() else p.read_bytes() for p in folder.iterdir()}


def _moments(entries: list[Entry]) -> list[Moment]:
    """After each entry, how far the work had come."""
    found, returned, begun = [], 0, 0
    for number, entry in enumerate(entries, start=1):
        if entry.kind == "m":
            word, step = entry.first.decode().split()
            returned, begun = (returned, int(step) + 1) if word == "begins" else (int(step) + 1, begun)
        found.append(Moment(number, returned, begun))
    return found


def _choose(moments: list[Moment], count: int) -> list[Moment]:
    """After each return with nothing more than was flushed (up to half of them), then all over, evenly."""
    returns = [after for before, after in itertools.pairwise(moments) if after.returned > before.returned]
    first = min(len(returns), count // 2)
    found = [returns[number * len(returns) // first] for number in range(first)]
    for number in range(others := count - first):
        moment = moments[number * len(moments) // others]
        found.append(moment._replace(luck=LUCK[number % len(LUCK)], seed=number))
    return sorted(found, key=lambda moment: moment.entry)


def _different(setting: Setting, entries: list[Entry], count: int) -> list[Moment]:
    """So many of the moments whose disks differ, or where more had returned; evenly spread."""
    moments = _choose(_moments(entries), 6 * count)
    seen: dict[tuple[int, int], Moment] = {}
    for moment, tree in zip(moments, images(setting, entries, moments), strict=True):
        seen.setdefault((hash(str(tree)), moment.returned), moment)
    found = list(seen.values())
    return [found[number * len(found) // count] for number in range(min(count, len(found)))]


# ---------------------------------------------------------------------------------------- images


def images(
    setting: Setting, entries: list[Entry], chosen: list[Moment], deaf: tuple[type, ...] = ()
) -> Iterator[Tree]:
    """What the disk may look like at each of the moments, which are in order; each with its own luck."""
    disk, at = Disk(str((setting.folder / "disk").resolve()), deaf), 0
    for moment in chosen:
        for entry in entries[at : moment.entry]:
            disk.apply(entry)
        at = moment.entry
        yield disk.image(moment.luck, Random(f"{setting.seed} {moment.seed}"))


def check(folder: Path, tree: Tree, moment: Moment, whole: dict[str, Any], *, again: bool) -> str | None:
    """What is wrong with a store on such a disk, or None; ``again``: also when the work is done again."""
    # In memory where there is such a folder: what matters is what is read, not how fast it is written.
    place = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else folder)) / "image"
    materialize(tree, place)
    try:
        state = look(place / "store")
        problem = _broken_promise(state, moment, whole)
        if again and not problem:
            work(place / "store")
            final = look(place / "store")
            differ = [name for name in whole if final[name] != whole[name]]
            problem = f"done again, it differs in {', '.join(differ)}" if differ else None
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    shutil.rmtree(place.parent)
    return problem and problem.replace(f"{place}/", "")


def _broken_promise(state: dict[str, Any], moment: Moment, whole: dict[str, Any]) -> str | None:
    sure, maybe = STEPS[: moment.returned], STEPS[: moment.begun]
    if state["problems"]:
        return f"verify: {state['problems'][0]}"
    # Each is a beginning of what there is in the end, at least as long as what has returned.
    for name, kinds in LISTS.items():
        least, most = (sum(kind in kinds for kind, _ in steps) for steps in (sure, maybe))
        there = state[name]
        if not least <= len(there) <= most or there != whole[name][: len(there)]:
            return f"{name}: {len(there)} are there, {least} to {most} belong there"
    if state["champion"] != (state["log"][-1][1] if state["log"] else None):
        return f"the champion is {state['champion']}"
    numbers = [[number for kind, number in steps if kind == "checkpoint"] for steps in (sure, maybe)]
    if not max(numbers[0], default=0) <= state["checkpoint"][0] <= max(numbers[1], default=0):
        return f"checkpoint {state['checkpoint'][0]}, when {numbers[0]} had returned"
    return _broken_memory(state, sure, maybe, whole)


def _broken_memory(
    state: dict[str, Any], sure: Sequence[Step], maybe: Sequence[Step], whole: dict[str, Any]
) -> str | None:
    """Arrivals are kept until they are forgotten; then their copies are gone, and what is kept is there."""
    gone, going = _forgotten(sure), _forgotten(maybe)
    kept = state["kept"]
    if any(state["arrivals"][index - 1] != digest for index, digest in kept.items()):
        return "the rows of an arrival are others"
    missing = set(range(1, len(state["arrivals"]) + 1)) - kept.keys()
    if not gone <= missing <= going:
        return f"arrivals {sorted(missing)} are forgotten, when {sorted(gone)} had been"
    # One more is the copy of an arrival that is being received: without its row, it waits for it.
    arriving = len(maybe) > len(sure) and maybe[-1][0] == "arrival"
    if not len(kept) <= state["copies"] <= len(kept) + arriving:
        return f"{state['copies']} copies of {len(kept)} arrivals"
    if ("remember", 3) in sure and state["memory"] != whole["memory"]:
        return "what was kept of the forgotten arrivals is not there"
    return None


def _forgotten(steps: Sequence[Step]) -> set[int]:
    found: set[int] = set()
    for kind, number in steps:
        found |= set(range(1, number + 1)) if kind == "remember" else {number} if kind == "forget" else set()
    return found
