"""The settings of an update, checked when they are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headstart.errors import InputError

__all__ = ["GateSettings", "RaceSettings", "Settings", "TrainSettings"]

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "linear", "step")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How one run trains. Names are torch's where torch has one.

    Attributes:
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        lr: learning rate, above 0.
        weight_decay: at least 0.
        momentum: for ``sgd``, in [0, 1).
        batch_size: examples in one optimizer step, at least 1.
        accumulate: micro-batches that make up one step, at least 1.
        epochs: the most epochs, at least 1.
        stop_at: stop after the epoch whose mean training score reaches this (0.99 means 99 % right
            for a classifier); None trains all epochs.
        patience: stop when the development score has not improved for so many epochs; None never
            does. The best weights by development score are then the ones kept.
        schedule: learning rate over the run: ``constant``, or ``cosine``, ``linear`` or ``step`` over
            the most steps that the run may take.
        warmup_steps: steps of linear warm-up from 0, at least 0.
        clip_grad_norm: largest gradient norm, above 0, or None.
        autocast: ``bfloat16`` to compute in that precision, or None.
        compile: pass the model through ``torch.compile``.
        ema: decay of an exponential average of the weights, in (0, 1), that is shipped in place of
            the last weights; or None.
        checkpoint_every: steps between two checkpoints, at least 1.
        device: ``auto``, ``cpu``, ``cuda`` or a torch device string.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    batch_size: int = 128
    accumulate: int = 1
    epochs: int = 200
    stop_at: float | None = 0.99
    patience: int | None = None
    schedule: str = "constant"
    warmup_steps: int = 0
    clip_grad_norm: float | None = None
    autocast: str | None = None
    compile: bool = False
    ema: float | None = None
    checkpoint_every: int = 500
    device: str = "auto"

    def __post_init__(self) -> None:
        _one_of("train.optimizer", self.optimizer, OPTIMIZERS)
        _one_of("train.schedule", self.schedule, SCHEDULES)
        _one_of("train.autocast", self.autocast, (None, "bfloat16"))
        _number("train.lr", self.lr, above=0)
        _number("train.weight_decay", self.weight_decay, least=0)
        _number("train.momentum", self.momentum, least=0, below=1)
        for name in ("batch_size", "accumulate", "epochs", "checkpoint_every"):
            _number(f"train.{name}", getattr(self, name), least=1, whole=True)
        _number("train.warmup_steps", self.warmup_steps, least=0, whole=True)
        if self.patience is not None:
            _number("train.patience", self.patience, least=1, whole=True)
        if self.clip_grad_norm is not None:
            _number("train.clip_grad_norm", self.clip_grad_norm, above=0)
        if self.ema is not None:
            _number("train.ema", self.ema, above=0, below=1)
        if self.stop_at is not None:
            _number("train.stop_at", self.stop_at)


@dataclass(frozen=True, kw_only=True)
class RaceSettings:
    """How starts race.

    Attributes:
        entrants: the most starts in one race, at least 1.
        rungs: elimination rounds, at least 1; each keeps the better half.
        share: the most the entrants that lose may spend together, as a share of what the run is
            expected to cost, in [0, 1].
        settled: arrivals in a row that one start must have won, with nothing shifted, before the race
            shrinks to that winner, at least 1.
        challenge_every: every so many settled arrivals one challenger races again; 0 never.
    """

    entrants: int = 4
    rungs: int = 2
    share: float = 0.25
    settled: int = 1
    challenge_every: int = 5

    def __post_init__(self) -> None:
        for name in ("entrants", "rungs", "settled"):
            _number(f"race.{name}", getattr(self, name), least=1, whole=True)
        _number("race.challenge_every", self.challenge_every, least=0, whole=True)
        _number("race.share", self.share, least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What a candidate must prove.

    Attributes:
        alpha: error rate of a promotion, in (0, 0.5].
        margin: loss in score that still counts as no worse, in [0, 1) for right/wrong scores.
        slice_margin: the same for each protected slice.
        require: ``improvement`` (proven better, and no worse on every slice) or ``non-inferiority``.
        max_looks: candidates that one gate set may judge before it must grow, at least 1; each look
            spends alpha / max_looks.
    """

    alpha: float = 0.05
    margin: float = 0.01
    slice_margin: float = 0.05
    require: str = "improvement"
    max_looks: int = 1

    def __post_init__(self) -> None:
        _number("gate.alpha", self.alpha, above=0, most=0.5)
        _number("gate.margin", self.margin, least=0)
        _number("gate.slice_margin", self.slice_margin, least=0)
        _number("gate.max_looks", self.max_looks, least=1, whole=True)
        _one_of("gate.require", self.require, ("improvement", "non-inferiority"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that shapes an update, apart from the task, the store and the data.

    Attributes:
        train, race, gate: see there.
        fractions: train, dev and gate share of each arrival, adding to 1.
        retention: ``all``, ``none`` or ``replay:N`` (N rows of the past kept by a seeded reservoir).
        reference: keep a reference and a digest instead of a copy of the data.
    """

    train: TrainSettings = field(default_factory=TrainSettings)
    race: RaceSettings = field(default_factory=RaceSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    retention: str = "all"
    reference: bool = False

    def __post_init__(self) -> None:
        kind, _, count = self.retention.partition(":")
        plain = self.retention in ("all", "none")
        if not plain and not (kind == "replay" and count.isdecimal() and int(count) > 0):
            raise InputError(
                "unknown retention",
                where="retention",
                got=self.retention,
                fix="use all, none or replay:N with N rows, for example replay:5000",
            )
        sides = self.fractions
        if len(sides) != 3 or any(not 0 <= side <= 1 for side in sides) or abs(sum(sides) - 1) > 1e-9:
            raise InputError(
                "the three shares of an arrival must lie in [0, 1] and add to 1",
                where="fractions",
                got=sides,
                fix="give train, dev and gate, for example (0.8, 0.1, 0.1)",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def _one_of(where: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise InputError(
            "unknown value",
            where=where,
            got=value,
            fix=f"use one of: {', '.join(map(str, allowed))}",
        )


def _number(
    where: str,
    value: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    limits: tuple[tuple[float | None, str, Callable[[float, float], bool]], ...] = (
        (least, "at least", lambda x, limit: x >= limit),
        (most, "at most", lambda x, limit: x <= limit),
        (above, "above", lambda x, limit: x > limit),
        (below, "below", lambda x, limit: x < limit),
    )
    kind = "a whole number" if whole else "a number"
    wanted = [f"{word} {limit:g}" for limit, word, _ in limits if limit is not None]
    good = number and (not whole or value == int(value))
    good = good and all(limit is None or holds(value, limit) for limit, _, holds in limits)
    if not good:
        raise InputError(
            f"the value must be {' '.join([kind, ' and '.join(wanted)]).strip()}",
            where=where,
            got=value,
            fix="correct the value, or leave it out for the default",
        )
