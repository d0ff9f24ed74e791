"""Versions and events: what the store hands out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from headstart.errors import CorruptionError, InputError
from headstart.lifecycle.artifact import Opened
from headstart.lifecycle.tensors import load_tensors, plain_names

if TYPE_CHECKING:
    from headstart.lifecycle.tasks.base import Task

__all__ = ["Event", "Version", "VersionDraft", "naming_last_good"]


@dataclass(frozen=True, kw_only=True)
class VersionDraft:
    """A version to be committed.

    Attributes:
        weights: state dict of the model that ships.
        parents: ids of the versions it comes from, the first one first.
        documents: JSON values by name, each written as ``<name>.json``.
        extra_weights: further state dicts by name, for example ``trunk``.
    """

    weights: Mapping[str, Tensor]
    parents: tuple[str, ...] = ()
    documents: Mapping[str, Any] = field(default_factory=dict)
    extra_weights: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """One trained, immutable set of weights with its evidence.

    Attributes:
        id: 16 hex digits, a function of the content.
        manifest: files with their digests, parents, and what made it.
        parents: ids of the versions it comes from.
        path: its folder.
    """

    id: str
    manifest: Mapping[str, Any]
    parents: tuple[str, ...]
    path: Path
    last_good: Callable[[], str | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of its state dicts: ``model``, and for some ``trunk``."""
        return tuple(
            n.removesuffix(".safetensors") for n in self.manifest["files"] if n.endswith(".safetensors")
        )

    def weights(self, part: str = "model") -> dict[str, Tensor]:
        """A state dict, checked against its digest.

        Raises:
            CorruptionError: the file is not what was committed.
        """
        with naming_last_good(self.last_good):
            return load_tensors(Opened(self.path, self.manifest).file(f"{part}.safetensors"))

    def document(self, name: str) -> Any:
        """A JSON document, checked against its digest."""
        with naming_last_good(self.last_good):
            return Opened(self.path, self.manifest).json(name)

    def load(self, task: Task, *, part: str = "model") -> nn.Module:
        """The model with its weights, in evaluation mode.

        Raises:
            InputError: the task builds another architecture.
            CorruptionError: a file is not what was committed.
        """
        from headstart.lifecycle.tasks.base import Schema
        from headstart.nn.streams import seeded

        weights = self.weights(part)
        with seeded(0, "load"):
            model = task.build(Schema.from_dict(self.document("schema")))
        # A model may itself have a part called ``module``; stored names do not.
        names = plain_names(model.state_dict())
        raw = {plain: name for name, plain in names.items()}
        try:
            model.load_state_dict({raw.get(name, name): value for name, value in weights.items()})
        except RuntimeError as error:
            raise InputError(
                "the task's model does not fit this version's weights",
                where=f"version {self.id}",
                got=" ".join(str(error).split())[:300],
                fix="load it with the task it was trained with",
            ) from error
        return model.eval()


@contextlib.contextmanager
def naming_last_good(find: Callable[[], str | None]) -> Iterator[None]:
    """Adds the last good version to a corruption error that passes through."""
    try:
        yield
    except CorruptionError as error:
        if error.last_good is not None:
            raise
        raise CorruptionError(
            error.file, expected=error.expected, found=error.found, last_good=find()
        ) from error


@dataclass(frozen=True)
class Event:
    """Something that was decided: promote, rollback, hold or reject.

    Attributes:
        number: position in the log.
        kind: what happened.
        version: to which version.
        previous: the champion before, for promote and rollback.
        reason: why, in words.
        payload: the verdict, where there is one.
        created: seconds since 1970.
    """

    number: int
    kind: str
    version: str
    previous: str | None
    reason: str
    payload: Mapping[str, Any]
    created: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "payload": dict(self.payload)}
