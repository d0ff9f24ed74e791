"""What the options of the built-in tasks may be, checked before anything is built from them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from torch import nn

from headstart.errors import InputError
from headstart.lifecycle.tasks.base import Task

__all__ = ["checked"]

_P = ParamSpec("_P")


def checked(make: Callable[_P, Task]) -> Callable[_P, Task]:
    """Lets a task's function check its options by their names; other parameters pass unchecked."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def checking(*args: _P.args, **kwargs: _P.kwargs) -> Task:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            fits, wanted = _WANTED.get(name, (_anything, ""))
            if not fits(value):
                raise InputError(
                    "an option of the task is of the wrong kind",
                    where=f"task.{name}",
                    got=repr(value),
                    fix=f"give {wanted}",
                )
        return make(*args, **kwargs)

    return checking


def _anything(_: Any) -> bool:
    return True


def _name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _name_or_none(value: Any) -> bool:
    return value is None or _name(value)


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _names(value: Any) -> bool:
    # A single string is refused, for it would count as the list of its letters.
    return _listed(value) and all(_name(item) for item in value)


def _names_or_none(value: Any) -> bool:
    return value is None or (_names(value) and len(value) > 0)


def _whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _size(value: Any) -> bool:
    return value is None or _whole(value)


def _context(value: Any) -> bool:
    return _whole(value, 2)


def _width(value: Any) -> bool:
    return _whole(value) and value % 4 == 0


def _widths(value: Any) -> bool:
    return _listed(value) and all(_whole(item) for item in value)


def _ngrams(value: Any) -> bool:
    return _widths(value) and len(value) == 2 and value[0] <= value[1] <= 5


def _share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: isinstance(value, str) and value in words), " or ".join(words)


def _buildable(value: Any) -> bool:
    return value is None or isinstance(value, (str, nn.Module)) or callable(value)


_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "target": (_name, "the name of a column"),
    "text": (_name, "the name of a column"),
    "image": (_name, "the name of a column"),
    "tokenizer": (_name, "'char' or the name of a tokenizer"),
    "encoder": (_name_or_none, "the name of an encoder"),
    "group": (_name_or_none, "the name of a column"),
    "columns": (_names_or_none, 'a list of column names, for example ["age"]'),
    "slices": (_names, 'a list of column names, for example ["region"]'),
    "hidden": (_widths, "a list of whole numbers from 1 on, for example [64, 64]"),
    "features": (_whole, "a whole number from 1 on"),
    "depth": (_whole, "a whole number from 1 on"),
    "width": (_width, "a multiple of 4, the number of attention heads"),
    "context": (_context, "a whole number of tokens from 2 on"),
    "size": (_size, "a whole number of pixels, for example 32"),
    "ngrams": (_ngrams, "shortest and longest n-gram within 1 to 5, for example [1, 2]"),
    "max_unknown": (_share, "a number within 0 and 1"),
    "allow_new_classes": (_flag, "true or false"),
    "model": (_buildable, "an nn.Module class, a function that returns one, or 'package.module:name'"),
    "extra_columns": _one_of("refuse", "ignore"),
    "missing": _one_of("refuse", "mean"),
}
