"""The one line of progress, on standard error and only for a person at a terminal."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

from headstart.cli._common import is_leader

__all__ = ["progress_line", "render"]

Progress = Callable[[Mapping[str, Any]], None]
_PERIOD = 0.1  # seconds between two redraws


@contextlib.contextmanager
def progress_line(*, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Progress | None]:
    """A callable that redraws the line for each event; None where nobody would see it.

    Args:
        quiet: draw nothing.
        stream: where to draw; standard error by default.
    """
    out = stream or sys.stderr
    if quiet or not is_leader() or not out.isatty():
        yield None
        return
    width = max(20, shutil.get_terminal_size().columns - 1)
    last = -_PERIOD

    def show(event: Mapping[str, Any]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PERIOD:
            last = now
            out.write("\r" + render(event)[:width].ljust(width))
            out.flush()

    try:
        yield show
    finally:
        out.write("\r" + " " * width + "\r")
        out.flush()


def render(event: Mapping[str, Any]) -> str:
    """An event as text.

    >>> render({"stage": "train", "message": "warm", "step": 20, "total": 80, "loss": 0.25, "eta": 125.0})
    'train  warm  20/80 (25 %)  loss 0.25  2:05 left'
    """
    parts = [" ".join(str(event[key]).split()) for key in ("stage", "message") if event.get(key)]
    step, total = event.get("step"), event.get("total")
    if step is not None:
        parts.append(f"{step}/{total} ({100 * step // total} %)" if total else f"step {step}")
    parts += [f"{key} {event[key]:.4g}" for key in ("loss", "score") if event.get(key) is not None]
    eta = event.get("eta")
    if eta is not None and math.isfinite(eta):
        minutes, seconds = divmod(round(eta), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return "  ".join(parts)
