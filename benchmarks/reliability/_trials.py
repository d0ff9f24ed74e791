"""Runs tests against a mutant, each trial in a child forked from an interpreter that is warm.

The warm interpreter has imported what the tests need from elsewhere, and nothing of the project: the
child imports that itself and is given the mutant's text in place of one file. Nothing is written into
the project. Tests that start processes of their own see no mutant.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import resource
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

__all__ = ["Project", "observe", "trial", "warm"]

_INI = "[pytest]\naddopts = -x -q -p no:cacheprovider --import-mode=importlib\n"
_MEMORY = 16 * 2**30


@dataclass(frozen=True)
class Project:
    """What is tested.

    Attributes:
        root: folder with the sources and the tests; a copy, which stays as it is meanwhile.
        source: the folder inside it that is imported from, for example ``src``.
    """

    root: Path
    source: str


def warm(modules: Sequence[str]) -> None:
    """Imports modules, as far as they are there."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def observe(project: Project, files: Sequence[str], tests: str) -> dict[str, Any]:
    """Runs a file of tests on the project as it is.

    Returns:
        ``tests``: by name, the seconds each took and the lines of each of ``files`` it ran; ``modules``:
        what was imported from elsewhere; ``code``: 0 when all passed.
    """
    watched = {str(project.root / project.source / file): file for file in files}

    def work() -> dict[str, Any]:
        watcher = _Watcher(watched)
        begun = time.perf_counter()
        code = _pytest(project, [tests], watcher)
        own = {path.name.removesuffix(".py") for path in (project.root / project.source).iterdir()}
        own |= {"tests", "conftest", "__main__", "__mp_main__"}
        modules = [n for n in sys.modules if n.split(".")[0] not in own and not n.startswith("_")]
        seconds = time.perf_counter() - begun
        return {"tests": watcher.tests(), "modules": modules, "seconds": seconds, "code": int(code)}

    return _in_child(project, work, 900) or {"tests": {}, "modules": [], "seconds": 0.0, "code": -1}


def trial(project: Project, file: str, source: str, selection: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Runs tests until one fails.

    Args:
        project: what is tested.
        file: the mutated file.
        source: its text.
        selection: by file of tests, those to run with the seconds they take; in this order.

    Returns:
        ``result``: killed, timeout, broken (it cannot even be loaded) or survived; ``by``: the test, or file.
    """
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    usual = sum(sum(tests.values()) for tests in selection.values())

    def work() -> dict[str, Any]:
        sys.meta_path.insert(0, _Mutated(module, str(project.root / project.source / file), source))
        for tests, names in selection.items():
            chosen = _Chosen(names)
            _allow(3 * sum(names.values()) + 3)  # watched tests take several times as long
            code = _pytest(project, [tests], chosen)
            if code == 1:
                return {"result": "killed", "by": chosen.failed or tests}
            if code:
                return {"result": "broken", "by": tests}
        return {"result": "survived", "by": ""}

    begun = time.monotonic()
    found = _in_child(project, work, 3 * usual + 3 * len(selection) + 3) or {"result": "timeout", "by": ""}
    return {**found, "seconds": round(time.monotonic() - begun, 2)}


def _pytest(project: Project, args: list[str], plugin: object) -> int:
    ini = project.root / "mutation.ini"
    temporary = project.root / f"tmp-{os.getpid()}"
    return int(
        pytest.main(
            ["-c", str(ini), f"--rootdir={project.root}", f"--basetemp={temporary}", *args], plugins=[plugin]
        )
    )


def _in_child(project: Project, work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any] | None:
    """The result of the work, done in a forked child; None when it took too long or was killed."""
    (project.root / "mutation.ini").write_text(_INI, encoding="utf-8")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _settle(project, seconds)
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    text, end = b"", time.monotonic() + 3 * seconds
    with open(reader, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            part = pipe.read(2**20)
            if not part:
                break
            text += part
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    shutil.rmtree(project.root / f"tmp-{pid}", ignore_errors=True)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return found


def _settle(project: Project, seconds: float) -> None:
    """A group of its own, no output, bounded time of the processor and memory, the project's files first."""
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    _allow(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill = _only_ours(os.kill)
    sys.dont_write_bytecode = False  # in the copy: the next child need not compile again
    os.chdir(project.root)
    source = str(project.root / project.source)
    sys.path[:0] = [source]
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}


def _allow(seconds: float) -> None:
    """Ends this process once it has used so much more of the processor's time: a loop that never ends."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), hard))


def _only_ours(kill: Callable[[int, int], None]) -> Callable[[int, int], None]:
    # A mutant may mean to ask whether a process lives, and end it.
    def guarded(pid: int, number: int) -> None:
        if number and pid != os.getpid():
            os._exit(1)
        kill(pid, number)

    return guarded


class _Mutated(importlib.abc.MetaPathFinder):
    """Gives one module another text."""

    def __init__(self, module: str, path: str, source: str) -> None:
        self.module, self.path, self.source = module, path, source

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where the module comes from; None for all others."""
        if name != self.module:
            return None
        loader = _Loader(name, self.path)
        loader.text = self.source
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    text = ""

    def get_code(self, fullname: str) -> Any:
        """The mutant, compiled; what is cached on disk is of the file itself."""
        return compile(self.text, self.path, "exec", dont_inherit=True)


class _Chosen:
    """A plugin that runs the chosen tests alone, the fastest first."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.failed = seconds, ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keeps the chosen ones."""
        kept = [item for item in items if item.nodeid in self.seconds]
        items[:] = sorted(kept, key=lambda item: self.seconds[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remembers which one failed."""
        if report.failed and not self.failed:
            self.failed = report.nodeid


class _Watcher:
    """A plugin that records which lines each test runs, those of its fixtures included."""

    def __init__(self, watched: dict[str, str]) -> None:
        self.watched = watched
        self.lines: set[tuple[str, int]] = set()
        self.shared: dict[tuple[str, str], set[tuple[str, int]]] = {}
        self.found: dict[str, tuple[float, set[tuple[str, int]], list[tuple[str, str]]]] = {}

    def tests(self) -> dict[str, Any]:
        """By name: seconds, and by file the lines."""
        result = {}
        for name, (seconds, lines, fixtures) in self.found.items():
            every = lines.union(*(self.shared.get(fixture, set()) for fixture in fixtures))
            files = {file for file, _ in every}
            ran = {file: sorted(line for f, line in every if f == file) for file in sorted(files)}
            result[name] = {"seconds": round(seconds, 4), "lines": ran}
        return result

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """Around one test."""
        self.lines, begun = set(), time.process_time()
        with self._traced():
            yield
        shared = [(name, item.nodeid.partition("::")[0]) for name in item.fixturenames]
        self.found[item.nodeid] = (time.process_time() - begun, self.lines, shared)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """Around a fixture: what several tests share is set up for the first, and ran for all of them."""
        outer, self.lines = self.lines, set()
        yield
        if fixturedef.scope != "function":
            self.shared[(fixturedef.argname, request.node.nodeid.partition("::")[0])] = self.lines
        self.lines = outer | self.lines

    @contextlib.contextmanager
    def _traced(self) -> Iterator[None]:
        threading.settrace(self.trace)
        sys.settrace(self.trace)
        try:
            yield
        finally:
            sys.settrace(None)
            threading.settrace(None)

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        """Notes a line of a watched file."""
        file = self.watched.get(frame.f_code.co_filename)
        if file is None:
            return None
        self.lines.add((file, frame.f_lineno))
        return self.trace
