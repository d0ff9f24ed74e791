"""One training run: a plain PyTorch loop that can be stopped after any step and resumed bitwise.

The order of the data is a function of (seed, epoch). Random draws inside the model (dropout) come
from a stream of the run's own, whose position is part of its state, so what other code draws changes
nothing. State = model + optimizer + schedule + random stream + position + sums of the epoch.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import DivergedError, StoreError
from headstart.lifecycle.budget import Spent
from headstart.lifecycle.engine import Engine
from headstart.lifecycle.optim import make_optimizer, make_schedule, optimizer_state, restore_optimizer
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.tasks.base import Examples, Task, score
from headstart.nn.streams import generator, seed_for
from headstart.protocols import Schedule

__all__ = ["Run", "TrainState"]

State = tuple[dict[str, Tensor], dict[str, Any]]
_DIVERGED = "diverged"


@dataclass
class TrainState:
    """Where a run is.

    Attributes:
        step: optimizer steps taken.
        epoch: epochs completed.
        index: steps taken inside the current epoch.
        samples: examples read.
        seconds: time spent in steps.
        finished: why the run is over, or "".
        best: best development score so far (with patience), best_epoch its epoch.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    samples: int = 0
    seconds: float = 0.0
    finished: str = ""
    best: float = float("-inf")
    best_epoch: int = 0
    train_score: float = 0.0
    train_loss: float = 0.0


class Run:
    """A run of one model on one set of examples.

    Args:
        task: gives loss and scores.
        model: trained in place; its initial weights are the start.
        train: examples to train on, at least one.
        dev: held-out examples, or None.
        settings: how to train.
        seed: of the data order and of draws inside the model.
        engine: where to compute; made from the settings if not given.
        schedule: builds the learning-rate schedule; made from the settings if not given.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        train: Examples,
        dev: Examples | None,
        settings: TrainSettings,
        *,
        seed: int,
        engine: Engine | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.task, self.settings, self.seed = task, settings, seed
        self.engine = engine or Engine.of(settings)
        self.model = model.to(self.engine.device)
        self.train, self.dev = _on(train, self.engine), dev
        self.steps_per_epoch = -(-len(train) // settings.batch_size)
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.optimizer = make_optimizer(self.model, settings)
        make = schedule or make_schedule(settings)
        self.schedule = make(self.optimizer, total_steps=self.total_steps)
        self.module = self.engine.wrap(self.model)
        self.average = copy.deepcopy(self.model).requires_grad_(False) if settings.ema else None
        self.best_weights: dict[str, Tensor] | None = None
        self.at = TrainState()
        self.curve: list[tuple[int, float]] = []
        self.train_curve: list[tuple[int, float, float]] = []
        self._sums = torch.zeros(2, dtype=torch.float64)
        self._pending: list[Tensor] = []
        # A constant rate needs no steps of its schedule, which cost as much as a small layer.
        self._scheduled = schedule is not None or settings.schedule != "constant" or settings.warmup_steps > 0
        self._rng = generator(seed, "model", self.engine.rank).get_state()
        self._cuda_rng = self._first_cuda_rng()

    @property
    def spent(self) -> Spent:
        """What the run has cost so far."""
        return Spent(steps=self.at.step, samples=self.at.samples, seconds=self.at.seconds)

    def advance(self, until: int | None = None, *, stop: Callable[[], bool] = lambda: False) -> TrainState:
        """Trains up to ``until`` steps in all (None: to the end), or until ``stop()`` is true after a step.

        Raises:
            DivergedError: the loss is not finite.
        """
        self.module.train()
        with self._own_stream():
            while not self.at.finished and (until is None or self.at.step < until):
                order = self._order()
                while self.at.index < self.steps_per_epoch:
                    started = time.perf_counter()
                    self._step(order)
                    self.at.seconds += time.perf_counter() - started
                    if self.at.index == self.steps_per_epoch:
                        self._end_epoch()
                        break
                    if (until is not None and self.at.step >= until) or stop():
                        return self.at
                if stop():
                    return self.at
        return self.at

    def dev_score(self) -> float:
        """Mean score of the weights that would ship, on the held-out examples (NaN without any)."""
        if self.dev is None or len(self.dev) == 0:
            return float("nan")
        return float(score(self.task, self.final_model(), self.dev).mean())

    def refuse_divergence(self) -> None:
        """Raises DivergedError if the run ended in a loss that is not finite."""
        if self.at.finished == _DIVERGED:
            raise DivergedError(
                "training diverged: the loss is not finite",
                where=f"epoch {self.at.epoch}, step {self.at.step}",
                got="NaN or infinity",
                fix="lower train.lr, set train.clip_grad_norm, or check the data for extreme values",
            )

    def recent_score(self) -> float:
        """Mean training score of the epoch under way, or of the last one between two epochs."""
        seen = self.at.index * self.settings.batch_size
        return float(self._gathered()[0]) / seen if seen else self.at.train_score

    def final_model(self) -> nn.Module:
        """The model that ships: the average if there is one, else the best or the last weights."""
        if self.average is not None:
            return self.average
        if self.best_weights is None or not self.at.finished:
            return self.model
        shipped = copy.deepcopy(self.model)
        shipped.load_state_dict(self.best_weights)
        return shipped

    def _order(self) -> Tensor:
        order = torch.randperm(len(self.train), generator=generator(self.seed, "order", self.at.epoch))
        return order.to(self.engine.device)

    def _step(self, order: Tensor) -> None:
        size = self.settings.batch_size
        batch = order[self.at.index * size : (self.at.index + 1) * size]
        part, weight = self.engine.share(batch)
        self.optimizer.zero_grad(set_to_none=True)
        micros = part.chunk(self.settings.accumulate)
        for number, micro in enumerate(micros):
            last = number == len(micros) - 1
            with contextlib.nullcontext() if last or self.engine.world == 1 else self.module.no_sync():  # type: ignore[operator]
                self._backward(micro, weight * len(micro) / len(part))
        if self.settings.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_grad_norm)
        self.optimizer.step()
        if self._scheduled:
            self.schedule.step()
        if self.average is not None:
            self._update_average()
        self.at.step += 1
        self.at.index += 1
        self.at.samples += len(batch)

    def _backward(self, indices: Tensor, weight: float) -> None:
        examples = self.train.take(indices)
        inputs = examples.inputs
        with self.engine.precision():
            outputs = self.module(*inputs) if isinstance(inputs, tuple) else self.module(inputs)
            loss = self.task.loss(outputs, examples.targets)
        (loss * weight if weight != 1.0 else loss).backward()  # type: ignore[no-untyped-call]
        if weight > 0:
            with torch.no_grad():
                self._pending.append(self.task.scores(outputs, examples.targets).sum())
                self._pending.append(loss.detach() * len(indices))

    def _gathered(self) -> Tensor:
        """Sums of scores and of losses in this epoch; read off the device only when they are needed."""
        if self._pending:
            values = torch.stack([value.double() for value in self._pending]).cpu().view(-1, 2)
            for pair in values:  # one by one, so that a stop in between changes no rounding
                self._sums = self._sums + pair
            self._pending = []
        return self._sums

    def _update_average(self) -> None:
        average, decay = self.average, self.settings.ema
        if average is None or decay is None:
            return
        with torch.no_grad():
            for kept, new in zip(average.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, 1.0 - decay)
            for buffer, latest in zip(average.buffers(), self.model.buffers(), strict=True):
                buffer.copy_(latest)

    def _end_epoch(self) -> None:
        totals = self.engine.total(self._gathered().to(self.engine.device))
        score_sum, loss_sum = totals.tolist()
        self._sums = torch.zeros_like(self._sums)
        at, count = self.at, len(self.train)
        at.epoch, at.index = at.epoch + 1, 0
        if not (math.isfinite(loss_sum) and math.isfinite(score_sum)):
            at.finished = _DIVERGED
        self.refuse_divergence()
        at.train_score, at.train_loss = score_sum / count, loss_sum / count
        self.train_curve.append((at.step, at.train_loss, float(self.schedule.get_last_lr()[0])))
        self._watch_dev()
        target = self.settings.stop_at
        if target is not None and at.train_score >= target:
            at.finished = "reached the training score"
        elif at.epoch >= self.settings.epochs:
            at.finished = at.finished or "trained all epochs"

    def _watch_dev(self) -> None:
        patience, at = self.settings.patience, self.at
        if patience is None:
            if at.epoch & (at.epoch - 1) == 0 or at.epoch % 16 == 0:  # 1, 2, 4, 8, 16, 32, 48, ...
                self.curve.append((at.step, self.dev_score()))
            return
        now = self.dev_score()
        self.curve.append((at.step, now))
        if now > at.best:
            at.best, at.best_epoch = now, at.epoch
            source = self.average or self.model
            self.best_weights = {k: v.detach().clone() for k, v in source.state_dict().items()}
        elif at.epoch - at.best_epoch >= patience:
            at.finished = "the development score stopped improving"

    def state(self) -> State:
        """Everything a resumed run needs: tensors and a JSON document."""
        optimizer, document = optimizer_state(self.optimizer)
        tensors = {"rng": self._rng, "sums": self._gathered()}
        if self._cuda_rng is not None:
            tensors["cuda_rng"] = self._cuda_rng
        parts: dict[str, Mapping[str, Tensor]] = {"model": self.model.state_dict(), "optimizer": optimizer}
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        if self.best_weights is not None:
            parts["best"] = self.best_weights
        for part, values in parts.items():
            tensors |= {f"{part}/{name}": value for name, value in values.items()}
        return tensors, {
            "at": {**self.at.__dict__, "best": None if self.at.best == float("-inf") else self.at.best},
            "optimizer": document,
            "schedule": _plain(self.schedule.state_dict()),
            "curve": [[step, value if math.isfinite(value) else None] for step, value in self.curve],
            "train_curve": self.train_curve,
            "shape": [len(self.train), self.total_steps],
        }

    def restore(self, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        """Continues from what :meth:`state` gave.

        Raises:
            StoreError: the state is of a run with other data or another length.
        """
        if document.get("shape") != [len(self.train), self.total_steps]:
            raise StoreError(
                "the checkpoint is of another run",
                where="examples and total steps",
                got=f"{document.get('shape')}, this run has {[len(self.train), self.total_steps]}",
                fix="run with the data and settings the checkpoint was made with, or remove it",
            )
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}}
        for key, value in tensors.items():
            part, slash, name = key.partition("/")
            if slash:
                parts.setdefault(part, {})[name] = value
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        self.best_weights = parts.get("best")
        restore_optimizer(self.optimizer, parts["optimizer"], document["optimizer"])
        self.schedule.load_state_dict(dict(document["schedule"]))
        self._rng = tensors["rng"]
        self._cuda_rng = tensors.get("cuda_rng")
        self._sums, self._pending = tensors["sums"], []
        at = dict(document["at"])
        at["best"] = float("-inf") if at["best"] is None else at["best"]
        self.at = TrainState(**at)
        self.curve = [(step, math.nan if v is None else v) for step, v in document["curve"]]
        self.train_curve = [(step, loss, lr) for step, loss, lr in document["train_curve"]]

    def _first_cuda_rng(self) -> Tensor | None:
        if self.engine.device.type != "cuda":
            return None
        seed = seed_for(self.seed, "model", self.engine.rank)
        return torch.Generator(self.engine.device).manual_seed(seed).get_state()

    @contextlib.contextmanager
    def _own_stream(self) -> Iterator[None]:
        # The global generators are what dropout draws from: lend them to this run, then give them back.
        outside, device = torch.get_rng_state(), self.engine.device
        outside_cuda = torch.cuda.get_rng_state(device) if self._cuda_rng is not None else None
        torch.set_rng_state(self._rng)
        if self._cuda_rng is not None:
            torch.cuda.set_rng_state(self._cuda_rng, device)
        try:
            yield
        finally:
            self._rng = torch.get_rng_state()
            torch.set_rng_state(outside)
            if outside_cuda is not None:
                self._cuda_rng = torch.cuda.get_rng_state(device)
                torch.cuda.set_rng_state(outside_cuda, device)


def _on(examples: Examples, engine: Engine) -> Examples:
    return Examples(engine.to(examples.inputs), engine.to(examples.targets))


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    # LambdaLR keeps None for plain functions: they come from the settings, not from the state.
    return {key: value for key, value in state.items() if not callable(value) and key != "lr_lambdas"} | (
        {"lr_lambdas": [None] * len(state["lr_lambdas"])} if "lr_lambdas" in state else {}
    )
