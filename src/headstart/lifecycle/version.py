"""Versions and arrivals: what the store hands out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.artifact import Opened
from headstart.lifecycle.data.rows import Rows, load_rows
from headstart.lifecycle.tensors import load_tensors

if TYPE_CHECKING:
    from headstart.lifecycle.tasks.base import Task

__all__ = ["Arrival", "ArrivalDraft", "Event", "Version", "VersionDraft"]


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
        with self._naming_last_good():
            return load_tensors(Opened(self.path, self.manifest).file(f"{part}.safetensors"))

    def document(self, name: str) -> Any:
        """A JSON document, checked against its digest."""
        with self._naming_last_good():
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
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                "the task's model does not fit this version's weights",
                where=f"version {self.id}",
                got=" ".join(str(error).split())[:300],
                fix="load it with the task it was trained with",
            ) from error
        return model.eval()

    def _naming_last_good(self) -> _NamesLastGood:
        return _NamesLastGood(self.last_good)


class _NamesLastGood:
    """Adds the last good version to a corruption error that passes through."""

    def __init__(self, find: Callable[[], str | None]) -> None:
        self.find = find

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CorruptionError) and error.last_good is None:
            raise CorruptionError(
                error.file, expected=error.expected, found=error.found, last_good=self.find()
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


@dataclass(frozen=True, kw_only=True)
class ArrivalDraft:
    """An arrival to be stored: a copy of its rows, or a reference to where they stay."""

    digest: str
    sides: np.ndarray[Any, Any]
    rows: Rows | None = None
    reference: str | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrival:
    """One batch of data that came.

    Attributes:
        index: its number, from 1.
        digest: SHA-256 of its rows.
        count: how many rows.
        counts: rows on each side: train, dev, gate.
        kept: whether its rows can still be read.
        note: what was said of it when it came.
        path: its folder.
    """

    index: int
    digest: str
    count: int
    counts: Mapping[str, int]
    kept: bool
    note: Mapping[str, Any]
    path: Path
    opened: Opened | None = field(default=None, repr=False, compare=False)

    def rows(self) -> Rows:
        """Its rows, checked against the digest.

        Raises:
            StoreError: forgotten, or the data it refers to changed.
        """
        opened = self._opened()
        reference = opened.manifest["reference"]
        if reference is None:
            return load_rows(opened.file("rows.safetensors"))
        from headstart.lifecycle.data.read import read

        rows = read(reference)
        if rows.digest() != self.digest:
            raise StoreError(
                "the data an arrival refers to have another digest now",
                where=f"arrival {self.index}, {reference}",
                got=f"expected {self.digest[:16]}, found {rows.digest()[:16]}",
                fix="put the file back as it was, or keep copies (reference = false)",
            )
        return rows

    def sides(self) -> np.ndarray[Any, Any]:
        """(n,) int8: the side of each row."""
        sides = load_tensors(self._opened().file("sides.safetensors"))["sides"]
        return sides.numpy().astype(np.int8)

    def _opened(self) -> Opened:
        if not self.kept or self.opened is None:
            raise StoreError(
                "this arrival was forgotten",
                where=f"arrival {self.index}",
                got=f"digest {self.digest[:16]}",
                fix="its digest stays in lineage; hand its data in again if they are needed",
            )
        return self.opened
