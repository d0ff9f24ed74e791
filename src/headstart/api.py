"""The product in one call: :func:`update`, and the pieces the command line uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import InputError
from headstart.lifecycle.budget import Budget
from headstart.lifecycle.context import Context, Progress, run_key
from headstart.lifecycle.data.read import read
from headstart.lifecycle.engine import Engine
from headstart.lifecycle.memory import gather
from headstart.lifecycle.notes import Notes, remove_tree
from headstart.lifecycle.plan import StartSpec, make_start, parse_starts
from headstart.lifecycle.record import story
from headstart.lifecycle.settings import GateSettings, RaceSettings, Settings, TrainSettings
from headstart.lifecycle.signals import StopFlag, stop_on_signals
from headstart.lifecycle.stages.contest import race_only
from headstart.lifecycle.stages.judge import judge as judge_version
from headstart.lifecycle.stages.receive import rehearse, schema_of
from headstart.lifecycle.store import Store, Version
from headstart.lifecycle.tasks.base import Task
from headstart.lifecycle.update import run_update
from headstart.lifecycle.verdict import Verdict

__all__ = ["DEFAULT_STARTS", "UpdateResult", "judge", "race", "story", "update"]

# Plain `warm` is left out on purpose: what it loses shows only over many arrivals, not in one race.
DEFAULT_STARTS = ("spectral-temper", "shrink-perturb", "scratch")


@dataclass(frozen=True)
class UpdateResult:
    """What an update did.

    Attributes:
        decision: ``promote``, ``hold`` or ``reject``.
        version: the candidate, in the store whatever the decision.
        verdict: the gate's evidence.
        report_path: the page that says why, or None when no report was asked for.
        record: everything about this arrival: findings, race, gate, costs.
    """

    decision: str
    version: Version
    verdict: Verdict
    report_path: Path | None
    record: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.record,
            "decision": self.decision,
            "version": self.version.id,
            "report_path": str(self.report_path) if self.report_path else None,
        }


def update(
    task: Task,
    store: Store | str | Path,
    data: Any,
    *,
    starts: Sequence[str | StartSpec] | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    train: TrainSettings | None = None,
    race: RaceSettings | None = None,
    gate: GateSettings | None = None,
    fractions: tuple[float, float, float] | None = None,
    retention: str | None = None,
    reference: bool | None = None,
    gate_data: Any = None,
    report: bool = True,
    progress: Progress | None = None,
) -> UpdateResult:
    """Keeps a model current: takes new data, trains a candidate, proves it, promotes it or not.

    The same call again, after a kill or after its end, gives the same result: an unfinished update is
    taken up where it stopped, a finished one is returned.

    Args:
        task: what is learned.
        store: where versions live; a folder is made if it is not there.
        data: the new data only: a file, a frame, arrays, a data set (see ``headstart.read``).
        starts: starts that may race, as slugs with or without settings; the first that needs no parent
            trains the first version.
        budget: the most that all entrants together may spend; no limit by default.
        seed: of everything random.
        train, race, gate: settings, see their classes.
        fractions: train, dev and gate share of each arrival.
        retention: ``all``, ``none`` or ``replay:N``.
        reference: keep a reference to the file and its digest instead of a copy.
        gate_data: a sealed set of the user's own, in place of the gate shares of the arrivals.
        report: write the report into the store.
        progress: called with a mapping at every stage and checkpoint.

    Raises:
        InputError: wrong data or settings; the store is as it was.
        StoreError: the store cannot be used.
        InterruptedRunError: SIGTERM or SIGINT; the state is saved.
    """
    settings = _settings(train, race, gate, fractions, retention, reference)
    with stop_on_signals() as stop:
        context = _context(task, store, data, starts, budget, seed, settings, gate_data, progress, stop=stop)
        outcome = run_update(context)
    path = None
    if report and context.engine.main:
        from headstart.report import write

        path = write(story(context.store), context.store.root / "report")
    record = dict(outcome.record)
    verdict = Verdict.from_dict(record["verdict"])
    return UpdateResult(record["decision"], outcome.version, verdict, path, record)


def race(
    task: Task,
    store: Store | str | Path,
    data: Any,
    *,
    starts: Sequence[str | StartSpec] | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Trains every start to its end on what the store holds plus the data, and ranks them.

    Nothing is committed and the arrival is not kept. Options are those of :func:`update`.
    """
    _refuse_unknown(options)
    settings = _settings(**{name: options.get(name) for name in _SETTINGS})
    with stop_on_signals() as stop:
        context = _context(task, store, data, starts, budget, seed, settings, None, progress, stop=stop)
        return _compare_starts(context)


def judge(
    task: Task, store: Store, candidate: str, *, gate_data: Any = None, gate: GateSettings | None = None
) -> dict[str, Any]:
    """The gate's verdict on a version against the champion, on the gate items the store holds."""
    version = store.version(candidate)
    champion = store.champion()
    settings = _settings(None, None, gate, None, None, None)
    arrivals = store.arrivals()
    if not arrivals:
        raise InputError(
            "the store holds no items to judge on",
            where=f"store {store.root}",
            got="no arrivals",
            fix="hand data in with update() first",
        )
    rows = gather(store, arrivals[-1].index)
    context = _context(task, store, rows.rows, None, None, 0, settings, gate_data, None, stop=StopFlag())
    received = {
        "arrival": arrivals[-1].index,
        "parent": None,
        "champion": champion.id if champion and champion.id != version.id else None,
        "schema": schema_of(store, version.id).to_dict(),
    }
    return judge_version(context, received, version, rows)


_SETTINGS = ("train", "race", "gate", "fractions", "retention", "reference")


def _settings(
    train: TrainSettings | None,
    race: RaceSettings | None,
    gate: GateSettings | None,
    fractions: tuple[float, float, float] | None,
    retention: str | None,
    reference: bool | None,
) -> Settings:
    given = {
        "train": train,
        "race": race,
        "gate": gate,
        "fractions": tuple(fractions) if fractions is not None else None,
        "retention": retention,
        "reference": reference,
    }
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _context(
    task: Task,
    store: Store | str | Path,
    data: Any,
    starts: Sequence[str | StartSpec] | None,
    budget: Budget | None,
    seed: int,
    settings: Settings,
    gate_data: Any,
    progress: Progress | None,
    *,
    stop: Any,
) -> Context:
    _check(task, budget, seed, settings, data)
    specs = parse_starts(starts if starts is not None else DEFAULT_STARTS)
    rows = read(data)
    gate_rows = None if gate_data is None else read(gate_data)
    engine = Engine.of(settings.train)
    if not isinstance(store, Store) and "://" not in str(store) and not Path(store).exists():
        task.infer(rows)  # wrong data must not leave an empty store behind
    opened = store if isinstance(store, Store) else Store(store)
    limits = budget or Budget()
    key = run_key(task, rows, gate_rows, specs, limits, settings, seed)
    return Context(
        task=task,
        store=opened,
        rows=rows,
        gate_rows=gate_rows,
        starts=specs,
        budget=limits,
        settings=settings,
        seed=seed,
        engine=engine,
        stop=stop,
        progress=progress or (lambda event: None),
        key=key,
        notes=Notes(opened.run_folder(key), engine.main),
        source=str(Path(data).resolve()) if isinstance(data, (str, Path)) else None,
    )


def _check(task: Any, budget: Any, seed: Any, settings: Settings, data: Any) -> None:
    wrong = ""
    if not isinstance(task, Task):
        wrong, got = "task", task
    elif budget is not None and not isinstance(budget, Budget):
        wrong, got = "budget", budget
    elif isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        wrong, got = "seed", seed
    if wrong:
        raise InputError(
            f"{wrong} is not what update() takes",
            where=wrong,
            got=got,
            fix="give a task from hs.tasks, a hs.Budget(...) and a whole number from 0 as seed",
        )
    if settings.reference and not isinstance(data, (str, Path)):
        raise InputError(
            "only a file or a folder can be kept by reference",
            where="reference",
            got=type(data).__name__,
            fix="hand in a path, or let the store keep a copy",
        )


def _compare_starts(context: Context) -> list[dict[str, Any]]:
    received, pool = rehearse(context)
    chosen = [
        {"start": spec.slug, "settings": dict(spec.settings), "reason": "asked for"}
        for spec in context.starts
        if received["parent"] is not None or not _needs_parent(spec)
    ]
    try:
        return [entrant.to_dict() for entrant in race_only(context, received, chosen, pool)]
    finally:
        remove_tree(context.notes.folder)


def _needs_parent(spec: StartSpec) -> bool:
    """Whether the start needs a version to start from."""
    return make_start(spec).needs_parent


def _refuse_unknown(options: dict[str, Any]) -> None:
    """Refuses options that are none."""
    unknown = sorted(set(options) - set(_SETTINGS) - {"gate_data"})
    if unknown:
        raise InputError(
            "unknown option",
            where="race()",
            got=", ".join(unknown),
            fix=f"its options are: {', '.join(_SETTINGS)}",
        )
