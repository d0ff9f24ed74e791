"""Start plans: what a run begins with, as one explicit value that is recorded whole."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from headstart.errors import HeadstartError, InputError
from headstart.lifecycle.settings import TrainSettings
from headstart.papers import find
from headstart.protocols import Start

__all__ = ["Phase", "StartPlan", "StartSpec", "make_start", "parse_starts", "plan_for"]


@dataclass(frozen=True)
class StartSpec:
    """A start by slug, and the hyper-parameters that differ from its defaults."""

    slug: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> StartSpec:
        """Reads ``slug`` or ``slug:name=value,name=value``.

        Raises:
            InputError: not of this form.
        """
        slug, colon, rest = text.partition(":")
        settings = {}
        for item in rest.split(",") if colon else ():
            name, equals, value = item.partition("=")
            if not equals or not name.strip().isidentifier():
                raise InputError(
                    "a start's settings must be name=value",
                    where="starts",
                    got=text,
                    fix="write for example spectral-temper:power=0.5,pull=0.25",
                )
            settings[name.strip()] = _literal(value.strip())
        return cls(slug.strip(), settings)

    @property
    def label(self) -> str:
        """The slug, with settings in brackets where there are any."""
        inner = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.slug}({inner})" if inner else self.slug

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"slug": self.slug, "settings": dict(self.settings)}


@dataclass(frozen=True)
class Phase:
    """A stretch of the learning-rate schedule.

    Attributes:
        name: ``warmup``, ``constant``, ``decay`` ...
        steps: its length, or None for "until the run ends".
        start, end: learning rate at its two ends.
        shape: linear, cosine, step or constant.
    """

    name: str
    steps: int | None
    start: float
    end: float
    shape: str


@dataclass(frozen=True, kw_only=True)
class StartPlan:
    """What a run begins with.

    Attributes:
        start: which start sets the weights.
        parent: version the weights come from, or None.
        buffers: ``reset`` to fresh values or ``kept`` from the parent.
        optimizer_state: ``fresh`` or ``kept``.
        schedule: phases of the learning rate.
        data: rows of the new arrival and of the past, replay share and order.
        batch_size: examples in a step.
        masks: names of weight masks that travel with the start.
        parameter_groups: tags that a start puts on parameters.
        ema: decay of the average that ships, or None.
    """

    start: StartSpec
    parent: str | None
    buffers: str
    optimizer_state: str
    schedule: tuple[Phase, ...]
    data: Mapping[str, Any]
    batch_size: int
    masks: tuple[str, ...] = ()
    parameter_groups: Mapping[str, Any] = field(default_factory=dict)
    ema: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "schedule": [dataclasses.asdict(p) for p in self.schedule]}


def parse_starts(starts: Sequence[str | StartSpec]) -> tuple[StartSpec, ...]:
    """Specs of all starts, each checked by building it.

    Raises:
        InputError: none given, one twice, an unknown slug or setting.
    """
    if isinstance(starts, str) or not starts:
        raise InputError(
            "starts must be a sequence of slugs with at least one",
            where="starts",
            got=starts,
            fix='give for example starts=("spectral-temper", "scratch")',
        )
    specs = tuple(item if isinstance(item, StartSpec) else StartSpec.parse(_text(item)) for item in starts)
    labels = [spec.label for spec in specs]
    for spec in specs:
        make_start(spec)
        if labels.count(spec.label) > 1:
            raise InputError(
                "a start is named twice",
                where="starts",
                got=spec.label,
                fix="name it once, or give the two different settings",
            )
    return specs


def make_start(spec: StartSpec) -> Start:
    """The start's adapter with these settings.

    Raises:
        InputError: the slug is unknown or no start, or a setting is unknown or out of range.
    """
    located = find(spec.slug)
    if located.paper.socket != "start":
        raise InputError(
            "this method is not a start",
            where="starts",
            got=f"{spec.slug} (a {located.paper.socket})",
            fix="`headstart methods` shows which methods are starts",
        )
    adapter = importlib.import_module(located.module).ADAPTER
    names = [item.name for item in dataclasses.fields(adapter)]
    unknown = sorted(set(spec.settings) - set(names))
    if unknown:
        raise InputError(
            f"{spec.slug} has no such setting",
            where="starts",
            got=", ".join(unknown),
            fix=f"its settings are: {', '.join(names) or 'none'}",
        )
    try:
        return cast(Start, adapter(**spec.settings))
    except HeadstartError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{spec.slug} refuses its settings",
            where="starts",
            got=f"{spec.label}: {error}",
            fix=f"`headstart methods show {spec.slug}` explains them",
        ) from error


def plan_for(
    spec: StartSpec, start: Start, train: TrainSettings, *, parent: str | None, data: Mapping[str, Any]
) -> StartPlan:
    """The plan of a run that begins with this start."""
    inherits = parent is not None and start.needs_parent
    # Starts that inherit keep the parent's buffers unless they say that they reset them.
    kept = inherits and not getattr(start, "reset_buffers", False)
    phases = []
    if train.warmup_steps:
        phases.append(Phase("warmup", train.warmup_steps, 0.0, train.lr, "linear"))
    end = train.lr if train.schedule == "constant" else 0.0
    phases.append(
        Phase("constant" if end else "decay", None, train.lr, end, train.schedule),
    )
    return StartPlan(
        start=spec,
        parent=parent if inherits else None,
        buffers="kept" if kept else "reset",
        optimizer_state="fresh",
        schedule=tuple(phases),
        data=data,
        batch_size=train.batch_size,
        ema=train.ema,
    )


def _text(item: object) -> str:
    if isinstance(item, str):
        return item
    raise InputError(
        "a start must be a slug or a StartSpec",
        where="starts",
        got=item,
        fix='give for example "shrink-perturb" or "shrink-perturb:shrink=0.6"',
    )


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
