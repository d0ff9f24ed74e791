"""Tasks from a configuration: a kind and its options."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from headstart.errors import HeadstartError, InputError, UserCodeError
from headstart.lifecycle.tasks.base import Task
from headstart.lifecycle.tasks.checks import unknown_options
from headstart.lifecycle.tasks.image import ImageClassification
from headstart.lifecycle.tasks.importing import import_object
from headstart.lifecycle.tasks.language import LanguageModel
from headstart.lifecycle.tasks.tabular import TabularClassification, TabularRegression
from headstart.lifecycle.tasks.text import TextClassification

__all__ = ["KINDS", "task_from_config"]

KINDS: dict[str, Callable[..., Task]] = {
    "tabular-classification": TabularClassification,
    "tabular-regression": TabularRegression,
    "image-classification": ImageClassification,
    "text-classification": TextClassification,
    "language-model": LanguageModel,
}


def task_from_config(kind: str, **options: Any) -> Task:
    """The task of a kind, with its options; ``custom`` takes ``task``, the import path of a Task.

    Raises:
        InputError: unknown kind or option, or one of them is wrong.
    """
    if kind == "custom":
        unknown_options(kind, options, ["task"])
        return _custom(str(options.get("task", "")))
    if not isinstance(kind, str) or kind not in KINDS:
        near = difflib.get_close_matches(str(kind), [*KINDS, "custom"], n=1)
        raise InputError(
            "unknown kind of task",
            where="task.kind",
            got=repr(kind),
            fix=f"did you mean {near[0]}?" if near else f"use one of: {', '.join([*KINDS, 'custom'])}",
        )
    make = KINDS[kind]
    unknown_options(kind, options, list(inspect.signature(make).parameters))
    try:
        return make(**options)
    except TypeError as error:
        raise InputError(
            "an option of the task is missing or of the wrong type",
            where=f"task ({kind})",
            got=str(error),
            fix="`headstart init` writes an example of every kind",
        ) from error


def _custom(path: str) -> Task:
    found = import_object(path, where="task.task")
    try:
        task = found() if callable(found) and not isinstance(found, Task) else found
    except HeadstartError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(
            "the function that makes the task failed",
            where=f"task.task = {path}",
            got=f"{type(error).__name__}: {error}",
            fix="mend it; the cause stands above",
        ) from error
    if not isinstance(task, Task):
        raise InputError(
            "the import path leads to no Task",
            where=f"task.task = {path}",
            got=type(task).__name__,
            fix="name a hs.Task, or a function without arguments that returns one",
        )
    return task
