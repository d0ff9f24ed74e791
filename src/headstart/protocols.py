"""The sockets that methods fit and the lifecycle calls, and the values that pass through them.

Only typing protocols and frozen values live here. A method implements a protocol by having its
members; nothing inherits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    Batch = tuple[Any, Tensor]

__all__ = [
    "Audit",
    "Evidence",
    "Finding",
    "Parent",
    "Probe",
    "Schedule",
    "Selection",
    "Selector",
    "Solution",
    "Solver",
    "Start",
]


@dataclass(frozen=True)
class Parent:
    """What a start may know of the version before.

    Attributes:
        model: the trained model, of the same architecture as the model to start. Read, never changed.
        version: its id, or "" outside a store.
        batches: gives the data of every arrival so far, in order of arrival, one batch each, as
            ``(inputs, targets)``; None when data were not kept.
        loss: mean loss of a batch, ``loss(outputs, targets)``; None when unknown.
    """

    model: nn.Module
    version: str = ""
    batches: Callable[[], Iterable[Batch]] | None = None
    loss: Callable[[Any, Tensor], Tensor] | None = None


class Start(Protocol):
    """Sets the weights a run begins with.

    ``model`` comes freshly initialized. A start changes it in place and returns it. A start that
    reads data says how often per row in ``data_passes`` (0 for most); the budget counts it.
    ``needs_parent`` is false for a start that can train a first version.
    """

    @property
    def data_passes(self) -> float: ...

    @property
    def needs_parent(self) -> bool: ...

    def __call__(
        self, model: nn.Module, parent: Parent | None, *, generator: torch.Generator
    ) -> nn.Module: ...


class Schedule(Protocol):
    """Builds a learning-rate schedule for an optimizer."""

    def __call__(self, optimizer: Optimizer, *, total_steps: int | None) -> LRScheduler: ...


@dataclass(frozen=True)
class Selection:
    """Rows chosen from a pool: indices in order of use, a score for each, and a JSON report."""

    indices: tuple[int, ...]
    scores: tuple[float, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)


class Selector(Protocol):
    """Chooses which data to see first, or to replay."""

    def select(
        self,
        pool: Any,
        k: int,
        *,
        target: Any = None,
        reference: Any = None,
        generator: torch.Generator | None = None,
    ) -> Selection: ...


@dataclass(frozen=True)
class Finding:
    """One thing a probe or a diagnosis found.

    Attributes:
        name: what was measured, e.g. ``label-shift``.
        value: the number.
        lower, upper: an interval for it, or None where none is defined.
        p_value: of the null hypothesis "nothing changed", corrected for the number of tests; or None.
        severity: ``info``, ``notice`` or ``warning``.
        text: one sentence a reader understands without the rest.
        advice: what to do about it, or "".
        details: further JSON values.
    """

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    severity: str = "info"
    text: str = ""
    advice: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "details": dict(self.details)}


class Probe(Protocol):
    """Reads a run as it goes."""

    def update(self, step: int, values: Mapping[str, float]) -> Finding | None: ...


@dataclass(frozen=True)
class Evidence:
    """What an audit saw: a name, whether it passed, the number, and JSON details."""

    name: str
    passed: bool
    value: float
    details: Mapping[str, Any] = field(default_factory=dict)


class Audit(Protocol):
    """Reads a model's behaviour; feeds the gate."""

    def check(self, candidate: Any, champion: Any, data: Any) -> Evidence: ...


@dataclass(frozen=True)
class Solution:
    """A solver's answer, its cost in iterations, and what a later solve may start from."""

    value: Any
    iterations: int
    state: Any = None


class Solver(Protocol):
    """Anything solved again and again."""

    def solve(self, problem: Any, warm: Solution | None = None) -> Solution: ...
