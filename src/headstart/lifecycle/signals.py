"""SIGTERM and SIGINT: finish the step, save, stop. A second signal stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType

__all__ = ["StopFlag", "stop_on_signals"]


class StopFlag:
    """Holds the signal that asked for a stop, or 0."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        return self.signal != 0


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turns the first SIGTERM or SIGINT inside the block into a flag; handlers are put back after it.

    Only the main thread can handle signals; elsewhere the flag stays down.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, _frame: FrameType | None) -> None:
        flag.signal = number
        _put_back(before)

    for number in before:
        signal.signal(number, ask)
    try:
        yield flag
    finally:
        _put_back(before)


def _put_back(handlers: Mapping[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]
