"""R14: small faults put into the core one by one; the tests must notice.

Core is what store, artifacts, gate and resume rest on. Each mutant is run against the tests that run its
lines, the quickest file of tests first, until one fails. Tests that start processes of their own (kills,
writers side by side) see no mutant and are left out, so the score is a lower bound. Trials of an earlier
run are not repeated while the mutated file and the tests that decided are the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.reliability._campaign import Outcome, Setting
from benchmarks.reliability._mutants import Mutant, mutants
from benchmarks.reliability._survivors import EXPLAINED
from benchmarks.reliability._trials import Project, observe, trial, warm

FIGURES = ("R14",)
ROOT = Path(__file__).resolve().parents[2]
_CORE = (
    "artifact durable tensors version statistics gate verdict slices train entrant notes signals race",
    "store records seals database lineage arrivals places verify",
)
_STORE_TESTS = (
    "artifact manifests tensors durable store arrivals opening database tables verify problems remote"
)
_TESTS = "statistics gate gate_edges gate_truth verdict train entrant notes signals race update"
CORE = tuple(f"headstart/lifecycle/{name}.py" for line in _CORE for name in line.split())
TESTS = (
    *(f"tests/lifecycle/store/test_{name}.py" for name in _STORE_TESTS.split()),
    *(f"tests/lifecycle/test_{name}.py" for name in _TESTS.split()),
)
QUICK = ("headstart/lifecycle/notes.py",)
BAR = 0.85
# All mutants take about two hours of one core: every third is tried, which third the seed says.
SHARE = 3
# A mutant that so many seconds of tests, watched line by line, do not notice counts as survived.
PATIENCE = 12.0


def run(setting: Setting) -> list[Outcome]:
    """Tries every mutant of the core; in the fast subset those of one small file."""
    root = setting.folder / "copy"
    for name in ("src", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    kept = ROOT / "results" / ".mutation" if setting.full else setting.folder / "kept"
    files, tests = (CORE, TESTS) if setting.full else (QUICK, tuple(t for t in TESTS if "notes" in t))
    every = [m for file in files for m in mutants((root / "src" / file).read_text(encoding="utf-8"), file)]
    chosen = every[setting.seed % SHARE :: SHARE] if setting.full else every
    tried = try_all(Project(root, "src"), chosen, files, tests, kept, setting)
    return [outcome(chosen, tried, len(every))]


def try_all(
    project: Project,
    chosen: Sequence[Mutant],
    files: Sequence[str],
    tests: Sequence[str],
    kept: Path,
    setting: Setting,
) -> dict[str, dict[str, Any]]:
    """The result of every mutant, by its id; ``kept`` is the folder that remembers them."""
    kept.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(setting.workers, context) as pool:
        seen = _watched(pool, project, files, tests, kept / "watched.json")
    modules = tuple(dict.fromkeys(name for found in seen.values() for name in found["modules"]))
    tests_by_file = {name: found["tests"] for name, found in seen.items()}
    setting.say(f"{sum(map(len, tests_by_file.values()))} tests watched, {len(chosen)} mutants to try")
    known = _Kept(kept / "trials.jsonl", project.root)
    results, jobs = {}, []
    for mutant in chosen:
        selection = _selection(mutant, tests_by_file)
        entry = known.get(mutant, selection)
        if not selection:
            entry = {"result": "not run", "by": "", "seconds": 0.0}
        if entry is None:
            jobs.append((mutant, selection))
        else:
            results[mutant.id] = entry
    with ProcessPoolExecutor(setting.workers, context, initializer=warm, initargs=(modules,)) as pool:
        running = {pool.submit(trial, project, m.file, m.source, s): (m, s) for m, s in jobs}
        for number, future in enumerate(as_completed(running), start=1):
            mutant, selection = running[future]
            results[mutant.id] = known.put(mutant, selection, future.result())
            if number % 25 == 0:
                counted = dict(Counter(entry["result"] for entry in results.values()))
                setting.say(f"{number} of {len(jobs)} tried; with those known: {counted}")
    return results


def outcome(chosen: Sequence[Mutant], tried: Mapping[str, Mapping[str, Any]], existing: int) -> Outcome:
    """The score, by file, and every survivor with the reason why it is no hole, where one is known.

    Args:
        chosen: the mutants that were tried.
        tried: their results.
        existing: how many mutants there are.
    """
    survivors = [m for m in chosen if tried[m.id]["result"] in ("survived", "not run")]
    killed, cases = len(chosen) - len(survivors), len(chosen)
    files = {}
    for name in dict.fromkeys(m.file for m in chosen):
        here = [m for m in chosen if m.file == name]
        files[Path(name).stem] = f"{sum(m not in survivors for m in here)} of {len(here)}"
    counts: dict[str, Any] = {
        "score": round(killed / cases, 4),
        "results": dict(sorted(Counter(tried[m.id]["result"] for m in chosen).items())),
        "survivors explained": sum(m.id in EXPLAINED for m in survivors),
        "files": files,
    }
    notes = [
        f"{Path(m.file).name}:{m.line} {m.name} - {EXPLAINED.get(m.id, 'not explained')}" for m in survivors
    ]
    if cases < existing:
        counts["95 % interval of the score"] = [round(bound, 4) for bound in interval(killed, cases)]
        notes.insert(0, f"a sample: {cases} of {existing} mutants")
    return Outcome(
        figure="R14",
        promise="the tests notice a small fault anywhere in store, artifacts, gate and resume",
        cases=cases,
        violations=len(survivors),
        bar=f"at least {BAR:.0%} of the mutants killed",
        met=killed >= BAR * cases,
        counts=counts,
        notes=tuple(notes),
        examples=tuple(m.id for m in survivors if m.id not in EXPLAINED)[:5],
    )


def interval(hits: int, cases: int) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 %."""
    z = 1.959964
    share, spread = hits / cases, z * z / cases
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / cases + spread / (4 * cases))
    return middle - half, middle + half


def _watched(
    pool: ProcessPoolExecutor, project: Project, files: Sequence[str], tests: Sequence[str], kept: Path
) -> dict[str, dict[str, Any]]:
    """What each file of tests runs, watched again where it or what it runs has changed."""

    def key(name: str, found: Mapping[str, Any]) -> str:
        ran = sorted({file for test in found["tests"].values() for file in test["lines"]})
        paths = [project.root / name, *(project.root / project.source / file for file in ran)]
        return _digest("".join(p.read_text(encoding="utf-8") for p in paths if p.is_file()) + str(files))

    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    old = [name for name in tests if name not in known or known[name]["key"] != key(name, known[name])]
    for name, found in zip(
        old, pool.map(functools.partial(observe, project, tuple(files)), old), strict=True
    ):
        if found["code"]:
            raise RuntimeError(f"tests fail without a mutant: {name}")
        known[name] = {**found, "key": key(name, found)}
    kept.write_text(json.dumps(known), encoding="utf-8")
    return {name: known[name] for name in tests}


def _selection(mutant: Mutant, tests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The tests that run the mutated lines, the quickest first; the file that knows the source best first."""
    first, last = mutant.lines or (0, 10**9)
    ran: dict[str, dict[str, float]] = {}
    known: dict[str, set[int]] = {}
    for file, found in tests.items():
        for name, test in found.items():
            known.setdefault(file, set()).update(test["lines"].get(mutant.file, ()))
            if any(first <= line <= last for line in test["lines"].get(mutant.file, ())):
                ran.setdefault(file, {})[name] = test["seconds"]
    chosen: dict[str, dict[str, float]] = {}
    spent = 0.0
    for file in sorted(ran, key=lambda name: sum(ran[name].values()) / len(known[name]) ** 2):
        for name, seconds in sorted(ran[file].items(), key=lambda item: item[1]):
            if spent == 0.0 or spent + seconds <= PATIENCE:
                spent += seconds
                chosen.setdefault(file, {})[name] = seconds
    return chosen


class _Kept:
    """Results on disk, one line of JSON each, the last one for a mutant counts."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.root = path, root
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.entries = {entry["id"]: entry for entry in _parsed(lines)}
        self._digests: dict[str, str] = {}

    def get(self, mutant: Mutant, selection: Mapping[str, Mapping[str, float]]) -> dict[str, Any] | None:
        """The result, if the mutant is the same and the tests that decided are."""
        entry = self.entries.get(mutant.id)
        if entry is None or entry["mutant"] != _digest(mutant.source):
            return None
        decided = self._decided(entry["by"], selection)
        return entry if decided is not None and decided == entry["tests"] else None

    def put(
        self, mutant: Mutant, selection: Mapping[str, Mapping[str, float]], found: dict[str, Any]
    ) -> dict[str, Any]:
        """Remembers a result."""
        tests = self._decided(found["by"], selection)
        entry = {"id": mutant.id, "mutant": _digest(mutant.source), "tests": tests, **found}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return entry

    def _decided(self, by: str, selection: Mapping[str, Mapping[str, float]]) -> str | None:
        """Digest of the tests that decided: those of the file that noticed, else all that were run."""
        if not by:
            return _digest(json.dumps([[f, self._file(f), sorted(names)] for f, names in selection.items()]))
        return self._file(by.partition("::")[0])

    def _file(self, name: str) -> str:
        if name not in self._digests:
            path = self.root / name
            self._digests[name] = _digest(path.read_text(encoding="utf-8")) if path.is_file() else ""
        return self._digests[name]


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
