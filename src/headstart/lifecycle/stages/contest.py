"""Contest: race the chosen starts, then train the winner to its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from headstart.errors import DivergedError
from headstart.lifecycle.budget import Spent
from headstart.lifecycle.context import Context, build_model
from headstart.lifecycle.data.split import DEV, TRAIN
from headstart.lifecycle.entrant import Arena, Entrant, batches_of
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.memory import Pool
from headstart.lifecycle.plan import make_start, plan_for
from headstart.lifecycle.race import Rung, race, total
from headstart.lifecycle.stages.examine import to_choices
from headstart.lifecycle.tasks.base import Examples, Schema
from headstart.protocols import Parent

__all__ = ["contest", "make_entrants", "race_only"]

_NOTHING = Examples(torch.zeros(0), torch.zeros(0))


def contest(
    context: Context, received: dict[str, Any], chosen: list[dict[str, Any]], pool: Pool
) -> tuple[Entrant, dict[str, Any]]:
    """Runs the race and the winner's training.

    Returns:
        The winner, whose run is over, and the record of the race.
    """
    entrants = make_entrants(context, received, chosen, pool)
    order, rungs = _race(context, entrants)
    winner = _train(context, order, entrants)
    _mark(entrants, winner, rungs)
    spent = total(entrants)
    record = {
        "entrants": [entrant.to_dict() for entrant in entrants],
        "winner": winner.label,
        "raced": received["parent"] is not None,
        "rungs": [rung.to_dict() for rung in rungs],
        "steps_spent": spent.steps,
        "steps_race": spent.steps - (winner.spent + winner.extra).steps,
        "winner_steps": winner.spent.steps,
        "train_rows": len(winner.arena.train),
        "training_seconds": round(spent.seconds, 3),
    }
    return winner, record


def race_only(
    context: Context, received: dict[str, Any], chosen: list[dict[str, Any]], pool: Pool
) -> list[Entrant]:
    """Trains every chosen start to its end, for a comparison; best held-out score first."""
    entrants = make_entrants(context, received, chosen, pool)
    for entrant in entrants:
        left = context.budget.steps_left(total(entrants), context.settings.train.batch_size)
        try:
            entrant.advance(None if left is None else entrant.run.at.step + left)
            entrant.held_out()
            entrant.status = "trained"
        except DivergedError:
            entrant.status = "diverged"
    return sorted(entrants, key=lambda e: -e.held if e.held == e.held else math.inf)


def make_entrants(
    context: Context, received: dict[str, Any], chosen: list[dict[str, Any]], pool: Pool
) -> list[Entrant]:
    """The entrants, with their plans, over one arena. Nothing is trained yet."""
    schema = Schema.from_dict(received["schema"])
    train, task, index = pool.where(TRAIN), context.task, received["arrival"]
    parent = received["parent"]
    fresh = int(np.sum(pool.arrivals[train] == index))
    data = {
        "new": fresh,
        "replay": len(train) - fresh,
        "replay_share": round(1 - fresh / len(train), 6),
        "order": "shuffled by (seed, epoch)",
    }
    arena = Arena(
        task=task,
        train=task.encode(pool.rows.take(train), schema),
        dev=task.encode(pool.rows.take(pool.where(DEV)), schema) if len(pool.where(DEV)) else _NOTHING,
        settings=context.settings.train,
        seed=context.seed + index,
        engine=context.engine,
        fresh=lambda: build_model(task, schema, context.seed, index),
        parent=_parent_builder(context, parent, pool, schema),
        folder=context.notes.folder,
        stop=context.stop,
        changed=_progress(context),
    )
    entrants = []
    for choice in to_choices(chosen):
        start = make_start(choice.spec)
        plan = plan_for(choice.spec, start, context.settings.train, parent=parent, data=data)
        entrants.append(Entrant(plan, arena))
        entrants[-1].take_up()
    return entrants


def _race(context: Context, entrants: list[Entrant]) -> tuple[list[Entrant], list[Rung]]:
    settings, budget = context.settings.race, context.budget
    done: list[Rung] = []
    while (note := context.notes.get(f"rung-{len(done)}")) is not None:
        done.append(Rung(**note))
    expected = _expected_steps(context, entrants)
    left = budget.steps_left(Spent(), context.settings.train.batch_size)
    if left is not None:
        expected = min(expected, int(left / (1 + settings.share)))

    def record(rung: Rung) -> None:
        failpoint("race-rung")
        context.notes.put(f"rung-{rung.number}", rung.to_dict())
        context.say("race", f"rung {rung.number + 1}: {rung.steps} steps each", scores=rung.scores)

    leader, rungs = race(
        entrants, expected=max(1, expected), settings=settings, budget=budget, done=done, report=record
    )
    lead = next(entrant for entrant in entrants if entrant.label == leader.label)
    # If the leader diverges later, the others follow in the order in which they went out, last first.
    out = [label for rung in rungs for label in rung.dropped]
    others = sorted(
        (e for e in entrants if e is not lead), key=lambda e: -out.index(e.label) if e.label in out else 1
    )
    return [lead, *others], rungs


def _train(context: Context, order: list[Entrant], entrants: list[Entrant]) -> Entrant:
    failures = []
    for entrant in order:
        context.say("train", f"training {entrant.label}", total=entrant.run.total_steps)
        try:
            _to_the_end(context, entrant, entrants)
            entrant.held_out()
            return entrant
        except DivergedError as error:
            entrant.status = "diverged"
            failures.append(f"{entrant.label}: {error.where}")
    raise DivergedError(
        "every start diverged",
        where="; ".join(failures),
        got=f"{len(order)} entrants",
        fix="lower train.lr, set train.clip_grad_norm, or check the data for extreme values",
    )


def _to_the_end(context: Context, entrant: Entrant, entrants: list[Entrant]) -> None:
    budget, size = context.budget, context.settings.train.batch_size
    while not entrant.finished:
        spent = total(entrants)
        if not context.engine.agreed(budget.allows(spent)):
            entrant.status = "out of budget"
            return
        left = budget.steps_left(spent, size)
        goal = None if left is None else entrant.run.at.step + left
        if budget.seconds is not None:
            # Time is looked at every so often; steps stay the unit of the work.
            goal = min(entrant.run.at.step + 20, goal if goal is not None else entrant.run.total_steps)
        if goal is not None and goal <= entrant.run.at.step:
            entrant.status = "out of budget"
            return
        entrant.advance(goal)


def _mark(entrants: list[Entrant], winner: Entrant, rungs: list[Rung]) -> None:
    for rung in rungs:
        for entrant in entrants:
            if entrant.label in rung.dropped and entrant is not winner:
                entrant.rung = rung.number
                why = rung.dropped[entrant.label]
                entrant.status = "diverged" if why.startswith("diverged") else "dropped"
                score = rung.scores.get(entrant.label)
                entrant.held = math.nan if score is None else score
    if winner.status != "out of budget":
        winner.status = "won"


def _expected_steps(context: Context, entrants: list[Entrant]) -> int:
    run = entrants[0].run
    train = context.settings.train
    history = [record for _, record in context.store.records("done")]
    if (train.stop_at is None and train.patience is None) or not history:
        return run.total_steps
    last = history[-1]
    scaled: int = round(last["winner_steps"] * len(run.train) / max(1, last["train_rows"]))
    return min(run.total_steps, scaled)


def _parent_builder(
    context: Context, parent: str | None, pool: Pool, schema: Schema
) -> Callable[[], Parent | None]:
    def build() -> Parent | None:
        if parent is None:
            return None
        task = context.task
        version = context.store.version(parent)
        model = version.load(task, part="trunk" if "trunk" in version.parts else "model")

        def batches() -> list[tuple[Any, Any]]:
            numbers = [pool.where(TRAIN, int(index)) for index in np.unique(pool.arrivals)]
            parts = [task.encode(pool.rows.take(rows), schema) for rows in numbers if len(rows)]
            engine = context.engine
            return [(engine.to(inputs), engine.to(targets)) for inputs, targets in batches_of(parts)]

        return Parent(model.to(context.engine.device), parent, batches, task.loss)

    return build


def _progress(context: Context) -> Callable[[Entrant], None]:
    def changed(entrant: Entrant) -> None:
        run = entrant.run
        loss, lr = run.train_curve[-1][1:] if run.train_curve else (None, None)
        context.say(
            "train",
            entrant.label,
            step=run.at.step,
            total=run.total_steps,
            loss=loss,
            lr=lr,
            score=run.at.train_score,
            eta=(run.total_steps - run.at.step) * run.at.seconds / max(1, run.at.step),
        )

    return changed
