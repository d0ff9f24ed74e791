"""One hostile case, tried in a forked child that watches itself."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.lifecycle.store import Store

SECONDS = 60  # after which a case hangs; none is meant to come near
SPACE = 2**32  # what a child may map besides what it had
_ROOT = Path(__file__).resolve().parents[3]
# Where a process reads itself from: Python, the libraries, this repository, and the system's own tables.
_PYTHON = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), os.path.realpath(sys.executable)}
_READ = (
    *{os.path.realpath(path) for path in _PYTHON},
    *_PYTHON,
    str(_ROOT),
    "/proc/",
    "/sys/",
    "/etc/",
    "/usr/",
)
_NEVER = {
    "pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "socket.connect", "ctypes.dlopen", "shutil.unpack_archive", "urllib.Request", "os.startfile",
}  # fmt: skip
_CHANGES = {
    "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1,
    "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that an attacker prepared, and what is done with it in good faith.

    Attributes:
        name: what it is.
        prepare: makes it in a folder: ``store``, and what lies beside it.
        attempt: uses it; must be refused, unless the case is harmless.
        harmless: it is used, and checks itself that nothing came of it.
        served: whether the sound champion must still be served afterwards.
        reads: what beside the store may be read: an arrival's reference, or the files' address.
    """

    name: str
    prepare: Callable[[Path], None]
    attempt: Callable[[Path], None]
    harmless: bool = False
    served: bool = True
    reads: tuple[str, ...] = ()


def tried(case: Case, folder: Path, warm: Callable[[], None]) -> tuple[str | None, float]:
    """How the case broke the promise, or None; and by how many bytes the child grew at its peak.

    ``warm`` reads something sound first, so that what any reader needs is in memory before.
    """
    folder.mkdir(parents=True)
    prepared = _child(lambda: case.prepare(folder))
    if prepared:
        raise RuntimeError(f"{case.name} could not be prepared: {prepared}")
    before, largest = _beside(folder), _largest(folder)
    found = _child(lambda: _attempt(case, folder, warm))
    grown = found.get("grown", 0.0)
    problems = list(found.get("watched", []))
    if found.get("killed"):
        problems.append(f"the process ended with {found['killed']}")
    elif found["error"]:
        problems.append(found["error"])
    elif found["refused"] == case.harmless:
        problems.append("it was refused" if case.harmless else "it was taken")
    if (folder / "canary").exists():
        problems.append("its code was run")
    elif _beside(folder) != before:
        problems.append("something beside the store was changed")
    bound = max(2 * largest, 64 * 2**20)
    if grown > bound:
        problems.append(f"it took {grown / 2**20:.0f} MB, at most {bound / 2**20:.0f}")
    shutil.rmtree(folder, ignore_errors=True)
    return "; ".join(problems) or None, grown


def _attempt(case: Case, folder: Path, warm: Callable[[], None]) -> dict[str, Any]:
    signal.alarm(SECONDS)
    warm()
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + SPACE, resource.RLIM_INFINITY))
    os.chdir(folder)
    watched: list[str] = []
    with contextlib.suppress(OSError):  # forget the peak until now
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    _watch(folder, case.reads, watched)
    begun, error, refused = _peak(), "", False
    try:
        case.attempt(folder)
    except HeadstartError as caught:
        refused = True
        line = str(caught)
        if "\n" in line or len(line) > 4000:
            error = f"its refusal is no short line: {line[:200]!r}"
    except BaseException:
        error = traceback.format_exc()[-1500:]
    grown = _peak() - begun
    if not error:
        try:
            _look(folder, case.served)
        except BaseException:
            error = "afterwards: " + traceback.format_exc()[-1500:]
    return {"refused": refused, "error": error, "grown": grown, "watched": sorted(set(watched))}


def _look(folder: Path, served: bool) -> None:
    """The sound version is served on, and the whole store can be looked through."""
    try:
        store = Store(folder / "store")
        champion = store.champion()
        store.verify()
    except HeadstartError:
        champion = None
    if served and (champion is None or not champion.weights()):
        raise RuntimeError("the sound champion is not served any more")


def _watch(folder: Path, reads: tuple[str, ...], watched: list[str]) -> None:
    """Notes what a process that only reads a store never does, and lets it change nothing outside its folder.

    A broken reader may try to remove whatever a forged row names: that is stopped, not only seen. A hook
    of this kind cannot be taken back.
    """
    home, store = os.path.realpath(folder), str(folder / "store")
    readable = (store, *(str(folder / name) for name in reads), *_READ)

    def changes(event: str, path: str) -> None:
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if not _within(path, store) or not _within(real, home):
            watched.append(f"{event} {path}")
        if not _within(real, home) and real != os.devnull:
            raise RuntimeError(f"stopped: {event} {path}")

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event in _NEVER:
            watched.append(f"{event} {values!r}"[:200])
        elif event == "exec" and not _own(values[0].co_filename):
            watched.append(f"exec of {values[0].co_filename}")
        elif event == "open" and _path(values[0]):
            path = _path(values[0])
            if (values[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                changes("opened to write", path)
            elif not path.startswith((*readable, "/dev/")):
                watched.append(f"opened {path}")
        elif event in _CHANGES:
            paths = values[: _CHANGES[event]]
            if not any(
                isinstance(v, int) and v != -1 for v in values[len(paths) :]
            ):  # not below a descriptor
                for path in filter(None, map(_path, paths)):
                    changes(event, path)

    sys.addaudithook(hook)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _path(value: Any) -> str:
    return os.path.abspath(os.fsdecode(value)) if isinstance(value, str | bytes | os.PathLike) else ""


def _own(file: str) -> bool:
    return file.startswith(("<", *_READ))


def _peak() -> float:
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _child(do: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """What a forked child gives back, or how it ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(do()).encode()[:60_000])
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        return {"killed": f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"}
    found: dict[str, Any] | None = json.loads(text)
    return found or {}


def _beside(folder: Path) -> list[tuple[str, int, int]]:
    """Everything that lies beside the store: name, size and time."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).parts[0] != "store":
            with contextlib.suppress(FileNotFoundError):
                info = path.lstat()
                found.append((str(path), info.st_size, info.st_mtime_ns))
    return found


def _largest(folder: Path) -> int:
    return max((path.lstat().st_size for path in folder.rglob("*")), default=0)
