"""A verb of the command line in this process, and what it must never do."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.cli import main

__all__ = ["Called", "Listing", "call", "listing", "problem_of"]

Listing = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Called:
    """What a verb left: its exit code, its two streams, and an exception that came through."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    escaped: str = ""


def call(words: Sequence[str], encoding: str = "utf-8") -> Called:
    """Runs ``headstart`` with these words; the streams behave like those of a terminal."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", write_through=True)
    code, escaped = 0, ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _warnings_as_users_have_them():
        try:
            main(args=list(words))
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0 if left.code is None else 99
        except BaseException as error:
            code, escaped = 99, f"{type(error).__name__}: {error}"
        sys.stderr.flush()
    return Called(tuple(words), code, _content(out), _content(err), escaped)


def problem_of(called: Called) -> str | None:
    """How the call broke the promise, or None: a code of 0, 1 or 2, and one line with its remedy."""
    said = called.err.splitlines()
    if called.escaped:
        return f"{called.words}: {called.escaped} came through"
    if called.code not in (0, 1, 2):
        return f"{called.words}: exit code {called.code}"
    if "bug in Headstart" in called.err or "the task's code failed" in called.err:
        return f"{called.words}: {called.err[:300]}"
    if "--traceback" in called.words:
        said = said[-1:]  # it was asked for
    if called.code == 0 or (called.code == 1 and _answers_no(called)):
        return f"{called.words}: exit code {called.code}, and {said[:3]}" if said else None
    if len(said) != 1 or not said[0].startswith("headstart: error: ") or "fix: " not in said[0]:
        return f"{called.words}: exit code {called.code}, and {said[:3]}"
    return None


def listing(folder: Path) -> Listing:
    """Everything below a folder: kind, size and time of change of each file."""
    found: Listing = {}
    todo = [os.fspath(folder)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                folder_too = entry.is_dir(follow_symlinks=False)
                found[entry.path] = (0,) if folder_too else (1, info.st_mode, info.st_size, info.st_mtime_ns)
                if folder_too:
                    todo.append(entry.path)
    return found


def _answers_no(called: Called) -> bool:
    """Whether exit code 1 is an answer, not an error: ``--check``, the doctor's, or nothing in service."""
    asked = "--check" in called.words or called.words[:1] in (("doctor",), ("show",))
    return asked and not called.err


def _content(stream: io.TextIOWrapper) -> str:
    with contextlib.suppress(ValueError):  # a text that its encoding lacks, which was reported above
        stream.flush()
    raw = stream.buffer
    return raw.getvalue().decode(stream.encoding, "replace") if isinstance(raw, io.BytesIO) else ""


@contextlib.contextmanager
def _warnings_as_users_have_them() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        warnings.simplefilter("always", append=True)
        yield
