"""A first signal raises the flag, a second one does what it did before."""

from __future__ import annotations

import signal
import threading

import pytest

from headstart.lifecycle.signals import StopFlag, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_raises_the_flag(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    with stop_on_signals() as flag:
        assert not flag() and flag.signal == 0
        assert all(signal.getsignal(n) is not handler for n, handler in before.items())
        signal.raise_signal(number)
        assert flag() and flag.signal == number
        assert {n: signal.getsignal(n) for n in before} == before  # a second one stops at once
    assert {n: signal.getsignal(n) for n in before} == before


def test_handlers_are_put_back_whatever_happens_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="inside"), stop_on_signals():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_that_python_does_not_know_becomes_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with monkeypatch.context() as patched:
            patched.setattr(signal, "getsignal", lambda number: None)
            with stop_on_signals():
                pass
        assert {signal.getsignal(number) for number in before} == {signal.SIG_DFL}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_outside_the_main_thread_the_flag_stays_down() -> None:
    found: list[StopFlag] = []

    def work() -> None:
        with stop_on_signals() as flag:
            found.append(flag)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1 and not found[0]()
