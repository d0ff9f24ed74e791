"""One update: the list of stages, each resumable.

Every stage is a function of recorded inputs. What the early ones find is noted in the run's folder;
the training stage has checkpoints; a committed version has the same id however often it is made. So
an update that was killed at any point, run again, ends with the same lineage.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout

from headstart.errors import InterruptedRunError, StoreError
from headstart.lifecycle.context import Context
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.memory import gather, remember
from headstart.lifecycle.notes import remove_tree
from headstart.lifecycle.record import finished_record
from headstart.lifecycle.stages.contest import contest
from headstart.lifecycle.stages.examine import examine, shortlist
from headstart.lifecycle.stages.judge import commit, decide, judge
from headstart.lifecycle.stages.receive import receive
from headstart.lifecycle.store import Version

__all__ = ["Outcome", "run_update"]


@dataclass(frozen=True)
class Outcome:
    """The candidate of an update and the record of how it came about."""

    version: Version
    record: Mapping[str, Any]


def run_update(context: Context) -> Outcome:
    """Runs every stage that has not been run yet.

    Raises:
        StoreError: another update works on this store.
        InputError: the data are wrong.
        InterruptedRunError: a signal asked for a stop; the next call goes on from there.
    """
    if not context.engine.main:  # the main process holds the lock for its group
        return _stages(context)
    try:
        with FileLock(context.store.root / "update.lock", timeout=0):
            return _stages(context)
    except Timeout as error:
        raise StoreError(
            "another update is at work on this store",
            where=str(context.store.root),
            got="update.lock is held",
            fix="wait until it has finished; a lock left by a killed process frees itself",
        ) from error


def _stages(context: Context) -> Outcome:
    store, notes, first = context.store, context.notes, context.engine.first
    done = dict(store.records("done")).get(context.key)
    if done is not None:
        context.say("done", "this update has been made before; its result stands")
        first(lambda: _clean_up(context, done["index"]))
        return Outcome(store.version(done["version"]), done)
    started = time.monotonic()
    begun = dict(store.records("run")).get(context.key)
    context.say("receive", f"{len(context.rows)} rows arrived")
    received = begun or first(lambda: receive(context))
    _halt(context)
    pool = gather(store, received["arrival"])
    context.say("diagnose", "comparing the arrival with what is known")
    findings = first(lambda: notes.once("findings", lambda: examine(context, received, pool)))
    failpoint("diagnosed")
    chosen = first(lambda: notes.once("shortlist", lambda: shortlist(context, received, findings)))
    failpoint("chosen")
    _halt(context)
    context.say("race", f"{len(chosen)} start{'s' if len(chosen) != 1 else ''} on the short list")
    winner, raced = contest(context, received, chosen, pool)
    failpoint("trained")
    candidate = commit(context, received, winner, raced)
    failpoint("committed")
    _halt(context)
    context.say("gate", f"judging {candidate.id}")
    judged = first(lambda: notes.once("judged", lambda: judge(context, received, candidate, pool)))
    failpoint("judged")
    _halt(context)
    first(lambda: decide(context, received, candidate, judged))
    stages = {"findings": findings, "shortlist": chosen, "race": raced, "gate": judged}
    seconds = time.monotonic() - started
    record = finished_record(context, pool, candidate, received, stages, seconds=seconds)
    first(lambda: _record(context, record))
    first(lambda: _clean_up(context, received["arrival"]))
    context.say("done", f"{judged['decision']}: {candidate.id}")
    return Outcome(candidate, dict(store.records("done"))[context.key])


def _halt(context: Context) -> None:
    """Stops between two stages if a signal asked for it; inside training the entrants see to it."""
    if context.engine.agreed(context.stop()):
        raise InterruptedRunError(
            "stopped on request; what was finished is kept",
            signal=context.stop.signal or signal.SIGTERM,
            where=f"run {context.key}",
            fix="run the same command again to go on from here",
        )


def _record(context: Context, record: Mapping[str, Any]) -> None:
    if context.key not in dict(context.store.records("done")):
        context.store.record("done", context.key, record)


def _clean_up(context: Context, arrival: int) -> None:
    """Applies the retention and removes the notes. Only after the result is recorded: before that, a run
    that is taken up again still needs every row."""
    failpoint("before-remember")
    remember(context, arrival)
    failpoint("before-cleanup")
    remove_tree(context.notes.folder)
