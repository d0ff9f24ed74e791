"""An entrant of a race: a start, its run, and the checkpoints that make it pausable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from headstart.errors import DivergedError, InterruptedRunError
from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle.budget import Spent
from headstart.lifecycle.failpoints import failpoint
from headstart.lifecycle.plan import StartPlan, make_start
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.signals import StopFlag
from headstart.lifecycle.tasks.base import Examples, Task, score
from headstart.lifecycle.train import Run
from headstart.nn.streams import generator
from headstart.protocols import Parent

__all__ = ["Arena", "Entrant"]


@dataclass(frozen=True, kw_only=True)
class Arena:
    """What the entrants of one race share.

    Attributes:
        fresh: builds the freshly initialized model, the same for every entrant.
        parent: builds what a start may know of the version before, or gives None.
        changed: called after each checkpoint, to show progress.
    """

    task: Task
    train: Examples
    dev: Examples
    settings: TrainSettings
    seed: int
    engine: Any
    fresh: Callable[[], nn.Module]
    parent: Callable[[], Parent | None]
    folder: Path
    stop: StopFlag
    changed: Callable[[Entrant], None]


@dataclass
class Entrant:
    """One start in a race.

    Attributes:
        plan: all that its run begins with.
        extra: what its preparation cost (a pass over the data counts as its steps).
        arena: what it shares with the others.
    """

    plan: StartPlan
    arena: Arena
    extra: Spent = field(default_factory=Spent)
    status: str = "racing"
    rung: int | None = None
    held: float = float("nan")
    _run: Run | None = None

    @property
    def label(self) -> str:
        """Name of the start, with its settings."""
        return self.plan.start.label

    @property
    def run(self) -> Run:
        """The run, begun (or taken up from its last checkpoint) at first use."""
        if self._run is None:
            self._run = self._begin()
        return self._run

    @property
    def spent(self) -> Spent:
        """What its training cost so far; nothing before it began."""
        return self._run.spent if self._run else Spent()

    @property
    def progress(self) -> float:
        """Training score of the current epoch: nearer to the target is cheaper to finish."""
        return self.run.recent_score()

    @property
    def finished(self) -> bool:
        """Whether its run is over."""
        return bool(self.run.at.finished)

    def advance(self, until: int | None) -> None:
        """Trains up to so many steps in all, with checkpoints on the way.

        Raises:
            DivergedError: the loss is not finite; that is saved, so it is known after a restart too.
            InterruptedRunError: a signal asked for a stop; the state is saved.
        """
        run, every = self.run, self.arena.settings.checkpoint_every
        while not run.at.finished and (until is None or run.at.step < until):
            mark = (run.at.step // every + 1) * every
            try:
                run.advance(mark if until is None else min(mark, until), stop=self._stop)
            except DivergedError:
                self.save()
                raise
            if run.at.step == mark or self._stop():
                self.save()
            self.arena.changed(self)
            if self._stop():
                raise InterruptedRunError(
                    "stopped on request; the step was finished and the state saved",
                    signal=self.arena.stop.signal or 15,
                    where=f"{self.label}, step {run.at.step}",
                    fix="run the same command again to go on from here",
                )
        run.refuse_divergence()

    def held_out(self) -> Tensor:
        """Scores on the development set, one for each example; the state is saved with them."""
        dev = self.arena.dev
        scores = score(self.arena.task, self.run.final_model(), dev)
        self.held = float(scores.mean()) if len(scores) else float("nan")
        self.run.curve.append((self.run.at.step, self.held))
        self.save()
        return scores

    def save(self) -> None:
        """Writes a checkpoint (on the main process only)."""
        if self.arena.engine.main:
            failpoint("entrant-checkpoint")
            write_checkpoint(self._folder(), *self.run.state())

    def take_up(self) -> None:
        """Loads the run if an earlier process began it, so that what it cost is known."""
        if self._folder().is_dir():
            self._run = self._run or self._begin()

    def _stop(self) -> bool:
        return bool(self.arena.engine.agreed(self.arena.stop()))

    def _folder(self) -> Path:
        safe = "".join(c if c.isalnum() or c in "-." else "_" for c in self.label)
        return self.arena.folder / "entrants" / safe

    def _begin(self) -> Run:
        arena = self.arena
        saved = read_checkpoint(self._folder()) if self._folder().is_dir() else None
        model = arena.fresh()
        start = make_start(self.plan.start)
        self.extra = _preparation(start.data_passes, len(arena.train), arena.settings.batch_size)
        if saved is None:
            parent = arena.parent() if self.plan.parent is not None else None
            seed = generator(arena.seed, "start", self.label)
            model = start(model.to(arena.engine.device), parent, generator=seed)
        run = Run(
            arena.task,
            model,
            arena.train,
            arena.dev,
            arena.settings,
            seed=arena.seed,
            engine=arena.engine,
        )
        if saved is not None:
            run.restore(*saved)
        return run

    def to_dict(self) -> dict[str, Any]:
        """The entrant's row in the race table."""
        run, spec = self._run, self.plan.start
        spent = self.spent + self.extra
        return {
            "label": self.label,
            "start": spec.slug,
            "settings": dict(spec.settings),
            "plan": self.plan.to_dict(),
            "status": self.status,
            "rung": self.rung,
            "steps": spent.steps,
            "samples": spent.samples,
            "score": None if self.held != self.held else self.held,
            "curve": [[step, None if v != v else v] for step, v in sorted(set(run.curve))] if run else [],
            "train_curve": [list(point) for point in thinned(run.train_curve)] if run else [],
            "ended": run.at.finished if run else "",
        }


def thinned(points: list[Any], limit: int = 200) -> list[Any]:
    """At most ``limit`` points, evenly spaced, with the last one kept."""
    if len(points) <= limit:
        return list(points)
    stride = -(-(len(points) - 1) // (limit - 1))
    return [*points[:-1:stride], points[-1]]


def _preparation(passes: float, examples: int, batch_size: int) -> Spent:
    samples = round(passes * examples)
    return Spent(steps=-(-samples // batch_size), samples=samples)


def batches_of(parts: Iterable[Examples]) -> list[tuple[Any, Tensor]]:
    """Each part as one batch."""
    return [(part.inputs, part.targets) for part in parts if len(part)]
