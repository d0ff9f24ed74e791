"""The Task: how rows become batches, how the model is built, what loss and score mean.

A task is a value made of functions. The built-in ones are functions that return one; a user's own is
``Task(...)`` with functions of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError, InputError, UserCodeError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks.importing import build_model, describe_model

__all__ = ["Examples", "Schema", "Task", "predict", "score"]

_CHUNK = 1024
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Examples:
    """Rows ready for the model.

    Attributes:
        inputs: tensor or tuple of tensors, first dimension n; a tuple is passed as arguments.
        targets: tensor, first dimension n.
        rows: (n,) int64, the row each example comes from; None where example i is row i.
    """

    inputs: Tensor | tuple[Tensor, ...]
    targets: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: Tensor) -> Examples:
        """The examples with these numbers, in this order."""
        inputs = self.inputs
        taken = tuple(i[indices] for i in inputs) if isinstance(inputs, tuple) else inputs[indices]
        return Examples(taken, self.targets[indices], None if self.rows is None else self.rows[indices])


@dataclass(frozen=True)
class Schema:
    """What the first arrival taught; recorded with each version, checked at every arrival.

    Attributes:
        columns: by name, a mapping with ``kind`` (number, category, text, image, vector), and what
            belongs to it (shape, range, values).
        target: ``column``, ``kind`` (class, number, token) and, for classes, ``classes`` in order.
        encoding: numbers that encoding needs: means, scales, vocabulary.
    """

    columns: Mapping[str, Mapping[str, Any]]
    target: Mapping[str, Any]
    encoding: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "columns": {name: dict(value) for name, value in self.columns.items()},
            "target": dict(self.target),
            "encoding": dict(self.encoding),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Schema:
        """The schema that :meth:`to_dict` gave."""
        return cls(value["columns"], value["target"], value["encoding"])

    @property
    def sizes(self) -> dict[str, Any]:
        """What a model builder may ask for: in_features, out_features, num_classes, input_shape, ..."""
        classes = self.target.get("classes")
        out = len(classes) if classes else int(self.target.get("size", 1))
        shape = [int(size) for size in self.encoding.get("input_shape", [])]
        count = 1
        for size in shape:
            count *= size
        return {
            "in_features": count,
            "out_features": out,
            "num_classes": out,
            "input_shape": tuple(shape),
            "vocab_size": out,
            "schema": self,
        }


def _mean_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets)


def _right(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).float()


def _majority(train: Tensor, other: Tensor) -> Tensor:
    values, counts = torch.unique(train, return_counts=True)
    rights: Tensor = (other == values[counts.argmax()]).float()
    return rights


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is being learned.

    Attributes:
        name: short name, for reports.
        target: column to predict ("" when it is made from the inputs, as in language modeling).
        model: how to build the model: an ``nn.Module`` class or factory (called with those of
            ``in_features, out_features, num_classes, input_shape, vocab_size, schema`` that it
            accepts), a module with ``reset_parameters`` throughout, or an import path ``pkg.mod:name``.
        encode_rows: ``(rows, schema) -> Examples``.
        infer_schema: ``rows -> Schema``, from the first arrival; raises InputError for bad data.
        check_rows: ``(rows, schema) -> Schema`` for later arrivals. The three left out are those of
            tabular classification, with ``target``.
        loss_fn: ``(outputs, targets) -> scalar``, mean over the batch.
        score_fn: ``(outputs, targets) -> (n,)``, higher is better; 0 or 1 when ``binary``.
        baseline_fn: ``(train targets, other targets) -> (n,)``, scores of the trivial predictor.
        metric: what the mean score is called.
        binary: whether scores are right or wrong.
        group: column whose rows belong together, or None.
        slices: columns whose every value is a protected slice.
        settings: further settings, part of the task's identity.
    """

    name: str = "custom"
    target: str = "label"
    model: Any
    encode_rows: Callable[[Rows, Schema], Examples] | None = None
    infer_schema: Callable[[Rows], Schema] | None = None
    check_rows: Callable[[Rows, Schema], Schema] | None = None
    loss_fn: Callable[[Any, Tensor], Tensor] = _mean_cross_entropy
    score_fn: Callable[[Any, Tensor], Tensor] = _right
    baseline_fn: Callable[[Tensor, Tensor], Tensor] = _majority
    metric: str = "accuracy"
    binary: bool = True
    group: str | None = None
    slices: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.encode_rows is None) != (self.infer_schema is None):
            raise InputError(
                "encode_rows and infer_schema belong together",
                where="Task",
                got="one of the two",
                fix="give both, or neither for the tabular ones",
            )
        if self.encode_rows is None:
            from headstart.lifecycle.tasks.tabular import TabularClassification

            like = TabularClassification(self.target, group=self.group, slices=self.slices)
            for name in ("encode_rows", "infer_schema", "check_rows"):
                object.__setattr__(self, name, getattr(self, name) or getattr(like, name))

    def describe(self) -> dict[str, Any]:
        """JSON values that identify the task."""
        return {
            "name": self.name,
            "target": self.target,
            "model": describe_model(self.model),
            "metric": self.metric,
            "group": self.group,
            "slices": list(self.slices),
            **self.settings,
        }

    def infer(self, rows: Rows) -> Schema:
        """The schema of the first arrival.

        Raises:
            InputError: the data are wrong; names column, row and count.
        """
        infer = cast(Callable[[Rows], Schema], self.infer_schema)
        return _expected(_users(lambda: infer(rows), "infer_schema"), Schema, "infer_schema")

    def check(self, rows: Rows, schema: Schema) -> Schema:
        """Checks a later arrival; returns the schema, widened where an option allows it.

        Raises:
            InputError: the data do not fit the schema.
        """
        check = self.check_rows
        if check is None:
            return schema
        return _expected(_users(lambda: check(rows, schema), "check_rows"), Schema, "check_rows")

    def build(self, schema: Schema) -> nn.Module:
        """A freshly initialized model; draws from the global random state."""
        return build_model(self.model, schema.sizes)

    def encode(self, rows: Rows, schema: Schema) -> Examples:
        """The rows as tensors."""
        encode = cast(Callable[[Rows, Schema], Examples], self.encode_rows)
        return _expected(_users(lambda: encode(rows, schema), "encode_rows"), Examples, "encode_rows")

    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Mean loss of a batch."""
        return self.loss_fn(outputs, targets)

    def scores(self, outputs: Any, targets: Tensor) -> Tensor:
        """(n,) one score for each example, higher is better."""
        return self.score_fn(outputs, targets)

    def baseline(self, train: Examples, other: Examples) -> Tensor:
        """(n_other,) scores of the trivial predictor that only knows the training targets."""
        return self.baseline_fn(train.targets, other.targets)


@torch.no_grad()
def predict(model: nn.Module, examples: Examples) -> list[tuple[Any, Tensor]]:
    """Outputs and targets, in chunks, with the model in evaluation mode.

    Every module's own mode is put back, so that layers frozen in evaluation mode stay frozen.

    Raises:
        UserCodeError: the model failed.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    modes = [(module, module.training) for module in model.modules()]
    results = []
    model.eval()
    try:
        for begin in range(0, len(examples), _CHUNK):
            part = examples.take(torch.arange(begin, min(begin + _CHUNK, len(examples))))
            inputs = part.inputs if isinstance(part.inputs, tuple) else (part.inputs,)
            outputs = _users(lambda inputs=inputs: model(*(i.to(device) for i in inputs)), "the model")  # type: ignore[misc]
            results.append((outputs, part.targets.to(device)))
    finally:
        for module, training in modes:
            module.training = training
    return results


def score(task: Task, model: nn.Module, examples: Examples) -> Tensor:
    """(n,) scores of a model on examples, on the CPU.

    Raises:
        UserCodeError: the model failed, or the scores are not one number for each example.
    """
    parts = []
    for outputs, targets in predict(model, examples):
        part = task.scores(outputs, targets)
        if part.shape != targets.shape[:1]:
            raise UserCodeError(
                "the scores are not one number for each example",
                where="score_fn",
                got=f"shape {list(part.shape)} for {len(targets)} examples",
                fix="return a tensor of shape (n,), one score for each example",
            )
        parts.append(part.float().cpu())
    return torch.cat(parts) if parts else torch.zeros(0)


def _expected(value: Any, kind: type[_Kind], where: str) -> _Kind:
    if not isinstance(value, kind):
        raise UserCodeError(
            "the task's code returned the wrong thing",
            where=where,
            got=type(value).__name__,
            fix=f"return {kind.__name__}(...) of headstart.tasks",
        )
    return value


def _users(work: Callable[[], Any], where: str) -> Any:
    try:
        return work()
    except HeadstartError:
        raise
    except Exception as error:
        raise UserCodeError(
            "the task's code failed",
            where=where,
            got=f"{type(error).__name__}: {error}",
            fix="mend it; the cause stands above (--traceback shows it)",
        ) from error
