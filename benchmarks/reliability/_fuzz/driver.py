"""Runs cases in children of this process, so that one that hangs or dies is a count, not the end."""

from __future__ import annotations

import faulthandler
import gc
import json
import mmap
import os
import resource
import shutil
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

from headstart.errors import HeadstartError

__all__ = ["Case", "Found", "Limits", "Surface", "described", "fuzz", "unclear"]


@dataclass(frozen=True)
class Case:
    """One case: which kind of input, what became of it, and how the promise was broken, if it was."""

    kind: str
    became: str
    problem: str | None = None


class Surface(Protocol):
    """Where inputs come from."""

    def case(self, random: Random) -> Case:
        """Makes an input, hands it in, and looks at what became of it."""


@dataclass(frozen=True)
class Limits:
    """The most that one case may take, and the most that the process may grow, in bytes."""

    seconds: float = 5.0
    growth: int = 2**29


@dataclass
class Found:
    """What many cases came to."""

    kinds: Counter[str] = field(default_factory=Counter)
    became: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest: float = 0.0
    slowest_case: str = ""
    growth: int = 0

    def add(self, other: Found) -> Found:
        """This and the other together."""
        self.kinds += other.kinds
        self.became += other.became
        self.broken += other.broken
        self.growth = max(self.growth, other.growth)
        if other.slowest > self.slowest:
            self.slowest, self.slowest_case = other.slowest, other.slowest_case
        return self


Make = Callable[[Path], Surface]


def fuzz(make: Make, folder: Path, numbers: range, *, seed: int, limits: Limits) -> Found:
    """The cases with these numbers. Case n is a function of seed and n alone, whatever ran before it."""
    found, ended_at = _in_a_child(make, folder, numbers, seed, limits)
    if found is not None:
        return found
    # The child died or was stuck at this case: it is counted, and the others are run without it.
    total = Found(Counter({"fatal": 1}), broken=[f"case {ended_at}: the process died or was stuck"])
    for part in (range(numbers.start, ended_at), range(ended_at + 1, numbers.stop)):
        if part:
            total.add(fuzz(make, folder, part, seed=seed, limits=limits))
    return total


def _in_a_child(
    make: Make, folder: Path, numbers: range, seed: int, limits: Limits
) -> tuple[Found | None, int]:
    reader, writer = os.pipe()
    at = mmap.mmap(-1, 8)  # shared with the child: the case under way
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            found = _cases(make, folder / str(numbers.start), numbers, seed, limits, at)
            with open(writer, "w", encoding="utf-8", errors="backslashreplace") as pipe:
                json.dump(found.__dict__, pipe)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    shutil.rmtree(folder / str(numbers.start), ignore_errors=True)
    if code == 0:
        values = json.loads(said)
        return Found(**{**values, **{k: Counter(values[k]) for k in ("kinds", "became")}}), 0
    return None, struct.unpack("q", at[:])[0]


def _cases(make: Make, folder: Path, numbers: range, seed: int, limits: Limits, at: mmap.mmap) -> Found:
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # no power is cut here
    surface, found = make(folder), Found()
    gc.collect()
    gc.freeze()
    before = _peak()
    watched = 0.0
    for number in numbers:
        at[:] = struct.pack("q", number)
        begun = time.monotonic()
        if begun - watched > 1:
            # A thread outside Python: it ends this process even where no Python code gets to run.
            faulthandler.dump_traceback_later(10 * limits.seconds, exit=True, file=sys.__stderr__)
            watched = begun
        case = surface.case(Random(f"{seed} {number}"))
        seconds = time.monotonic() - begun
        problem = case.problem
        if problem is None and seconds > limits.seconds:
            problem = f"took {seconds:.1f} s"
        if problem is None and _peak() - before > limits.growth:
            problem, before = f"the process grew by {(_peak() - before) / 2**20:.0f} MiB", _peak()
        found.kinds[case.kind] += 1
        found.became[case.became] += 1
        if problem:
            found.broken.append(f"case {number}, {case.kind}: {problem}")
        if seconds > found.slowest:
            found.slowest, found.slowest_case = round(seconds, 3), f"case {number}, {case.kind}"
        found.growth = max(found.growth, _peak() - before)
    faulthandler.cancel_dump_traceback_later()
    return found


def _peak() -> int:
    """The most memory this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def unclear(error: HeadstartError) -> str | None:
    """What an error of ours misses: one line, its remedy, and the code of wrong input."""
    line = str(error)
    clear = len(line.splitlines()) == 1 and "fix: " in line and error.exit_code in (1, 2)
    return None if clear else f"not one line with its remedy: {line!r}"


def described(error: BaseException) -> str:
    """An exception as one line, with the last place of this library that it passed."""
    import traceback

    frames: list[Any] = [f for f in traceback.extract_tb(error.__traceback__) if "headstart" in f.filename]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}"[:300] + place
