"""The configuration file: ``headstart.toml``, checked whole and reported at once.

A key that is not known, a value of the wrong type and a value out of range are all problems; they
are gathered over the whole file and raised together, each with the path of its key. What a flag of
the command line says comes on top of the file, and the file on top of the defaults.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import stat
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, create_model

from headstart.errors import ConfigError, InputError
from headstart.lifecycle.budget import Budget
from headstart.lifecycle.settings import GateSettings, RaceSettings, Settings, TrainSettings

if TYPE_CHECKING:
    from headstart.lifecycle.tasks.base import Task

__all__ = ["Config", "load_config"]

_SECTIONS = {"train": TrainSettings, "race": RaceSettings, "gate": GateSettings, "budget": Budget}
_PATHS = ("store", "data", "gate_data")
_RULES = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One checked configuration.

    Attributes:
        path: the file it was read from.
        kind: kind of task, for example ``tabular-classification``.
        options: the other keys of ``[task]``.
        store: folder or database URL, or None when the file names none.
        artifacts: URL of the files, when ``store`` is a database.
        data: file of new data, or None.
        gate_data: the user's own gate set, or None.
        starts: starts that may race, or None for the choice by evidence.
        seed: seed of every random stream, from 0 to 2**63 - 1.
        budget: the most an update may spend.
        settings: how it trains, races, gates, splits and keeps data.
    """

    path: Path
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    store: str | None = None
    artifacts: str | None = None
    data: str | None = None
    gate_data: str | None = None
    starts: tuple[str, ...] | None = None
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    settings: Settings = field(default_factory=Settings)

    def task(self) -> Task:
        """The task that ``[task]`` describes; modules beside the file can be named in it.

        Raises:
            InputError: an unknown kind or option, or an import path that cannot be followed.
        """
        from headstart.lifecycle.tasks import task_from_config

        folder = str(self.path.parent.resolve())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        task: Task = task_from_config(self.kind, **self.options)
        return task

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for :func:`headstart.api.update`, apart from task, store and data."""
        return {
            "starts": self.starts,
            "budget": self.budget,
            "seed": self.seed,
            "train": self.settings.train,
            "race": self.settings.race,
            "gate": self.settings.gate,
            "fractions": self.settings.fractions,
            "retention": self.settings.retention,
            "reference": self.settings.reference,
            "gate_data": self.gate_data,
        }


def load_config(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check a configuration file.

    Relative paths in the file are relative to the file; those in ``overrides`` to the working folder.

    Args:
        path: the TOML file.
        overrides: values that replace those of the file, by dotted key, e.g. ``{"train.lr": 0.01}``.

    Raises:
        ConfigError: the file is not TOML, or has problems; all of them are listed.
        InputError: there is no such file.
    """
    file, changes = Path(path), dict(overrides or {})
    table = _merge(_read_toml(file), changes)
    try:
        checked = _FILE.model_validate(table)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors(include_url=False)]
        raise ConfigError(problems, where=_place(file, changes)) from None
    values: dict[str, Any] = checked.model_dump()
    for key in _PATHS:
        if values[key] is not None and key not in changes and "://" not in values[key]:
            values[key] = str(file.parent / values[key])
    task = values["task"]
    return Config(
        path=file,
        kind=task.pop("kind"),
        options=task,
        starts=None if values["starts"] is None else tuple(values["starts"]),
        budget=Budget(**values["budget"]),
        settings=_settings(values),
        **{key: values[key] for key in (*_PATHS, "artifacts", "seed")},
    )


def _settings(values: Mapping[str, Any]) -> Settings:
    return Settings(
        train=TrainSettings(**values["train"]),
        race=RaceSettings(**values["race"]),
        gate=GateSettings(**values["gate"]),
        fractions=tuple(values["fractions"]),
        retention=values["retention"],
        reference=values["reference"],
    )


def _read_toml(file: Path) -> dict[str, Any]:
    _refuse_what_is_no_file(file)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "the configuration cannot be read",
            where=str(file),
            got=error.strerror or type(error).__name__,
            fix="give another --config FILE, or mend this one",
        ) from error
    except (ValueError, RecursionError) as error:  # bad TOML, not UTF-8, a number of 5000 digits, ...
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError([f"not a TOML file: {reason}"], where=str(file)) from None


def _refuse_what_is_no_file(file: Path) -> None:
    try:
        kind = file.stat().st_mode
    except (OSError, ValueError) as error:  # not there, a loop of links, a NUL in the name, ...
        raise InputError(
            "there is no configuration file",
            where=str(file),
            got="nothing" if isinstance(error, FileNotFoundError) else str(error),
            fix="give --config FILE; `headstart init` writes one",
        ) from None
    if not stat.S_ISREG(kind):  # a pipe may never begin, a device never end
        raise InputError(
            "the configuration is no regular file",
            where=str(file),
            got="a folder" if stat.S_ISDIR(kind) else "a device or a pipe",
            fix="give --config FILE; `headstart init` writes one",
        )


def _merge(table: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        *parents, last = key.split(".")
        inner: Any = table
        for name in parents:
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict):  # otherwise the file has no table there, which validation reports
            inner[last] = value
    return table


# ------------------------------------------------------------------------------------------ checking


def _stands_alone(settings: type[Any], name: str, value: Any) -> Any:
    """Let the settings' own rules judge one key, so that every key's problem is found."""
    try:
        settings(**{name: value})
    except OverflowError:
        raise InputError(
            "the number is too large", where=name, got="a very large number", fix="give a smaller one"
        ) from None
    return value


def _checked(settings: type[Any], name: str) -> AfterValidator:
    return AfterValidator(functools.partial(_stands_alone, settings, name))


def _section(name: str, settings: type[Any]) -> Any:
    """A model with the fields, types, defaults and rules of a settings dataclass."""
    hints = get_type_hints(settings)
    fields: dict[str, Any] = {
        item.name: (Annotated[hints[item.name], _checked(settings, item.name)], item.default)
        for item in dataclasses.fields(settings)
    }
    return create_model(name, __config__=_RULES, **fields)


_TASK = create_model("task", __config__=ConfigDict(extra="allow", strict=True), kind=(str, ...))
_MODELS = {name: _section(name, settings) for name, settings in _SECTIONS.items()}
_TOP: dict[str, Any] = {
    "task": (_TASK, ...),
    "store": (str | None, None),
    "artifacts": (str | None, None),
    "data": (str | None, None),
    "gate_data": (str | None, None),
    "starts": (Annotated[list[str], Field(min_length=1)] | None, None),
    "seed": (Annotated[int, Field(ge=0, lt=2**63)], 0),
    "fractions": (Annotated[list[float], _checked(Settings, "fractions")], [0.8, 0.1, 0.1]),
    "retention": (Annotated[str, _checked(Settings, "retention")], "all"),
    "reference": (bool, False),
    **{name: (model, model()) for name, model in _MODELS.items()},
}
_FILE: Any = create_model("headstart", __config__=_RULES, **_TOP)


def _problem(item: Mapping[str, Any]) -> str:
    place = [str(part) for part in item["loc"]]
    path, kind, found = ".".join(place), item["type"], _short(item["input"])
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_did_you_mean(place)}"
    if kind == "missing":
        return f"{path}: missing"
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return f"{path} = {found}: {_said(cause)}"
    said = str(item["msg"]).removeprefix("Input ").replace("valid dictionary", "table").replace("valid ", "")
    return f"{path} = {found}: {said}"


def _said(error: InputError) -> str:
    return f"{error.what}; {error.fix}" if error.fix else error.what


def _did_you_mean(place: Sequence[str]) -> str:
    known = list(_MODELS[place[0]].model_fields) if len(place) > 1 else list(_TOP)
    near = difflib.get_close_matches(place[-1], known, n=1)
    if near:
        return f", did you mean {near[0]!r}?"
    inside = [f"{name}.{place[-1]}" for name, model in _MODELS.items() if place[-1] in model.model_fields]
    return f", did you mean {' or '.join(inside)}?" if inside else f"; known: {', '.join(known)}"


def _short(value: object, limit: int = 60) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of 5000 digits, or a very deep table
        return type(value).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _place(file: Path, changes: Mapping[str, Any]) -> str:
    return f"{file} with flags for {', '.join(changes)}" if changes else str(file)
