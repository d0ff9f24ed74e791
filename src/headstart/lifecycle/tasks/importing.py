"""A user's model: an object, a class, a factory or an import path."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from headstart.errors import HeadstartError, InputError, UserCodeError
from headstart.nn.params import fresh_copy

__all__ = ["build_model", "describe_model", "import_object"]


def build_model(model: Any, sizes: Mapping[str, Any]) -> nn.Module:
    """A freshly initialized model.

    Args:
        model: class, factory, module or import path.
        sizes: what a factory may ask for by keyword.

    Raises:
        InputError: nothing a model can be built from.
        UserCodeError: the factory failed.
    """
    source = import_object(model) if isinstance(model, str) else model
    if isinstance(source, nn.Module):
        try:
            return fresh_copy(source)
        except InputError as error:
            raise InputError(
                error.what,
                where=f"task.model, {error.where}",
                got=error.got,
                fix="give the model's class, or a function that builds it, instead of a built model",
            ) from error
    if not callable(source):
        raise InputError(
            "the model is nothing that can be built",
            where="task.model",
            got=source,
            fix="give an nn.Module class, a function that returns one, or 'package.module:name'",
        )
    try:
        args, kwargs = _arguments(source, sizes)
        built = source(*args, **kwargs)
    except HeadstartError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(
            "the model could not be built",
            where="task.model",
            got=f"{type(error).__name__}: {error}",
            fix=f"its builder may take: {', '.join(sizes)}",
        ) from error
    if not isinstance(built, nn.Module):
        raise InputError(
            "the model's builder returned no nn.Module",
            where="task.model",
            got=type(built).__name__,
            fix="return an nn.Module",
        )
    return built


def describe_model(model: Any) -> str:
    """A name that identifies the model: import path, or class with the shapes of its parameters."""
    if isinstance(model, str):
        return model
    if isinstance(model, nn.Module):
        shapes = str([(name, tuple(p.shape)) for name, p in model.named_parameters()])
        return f"{type(model).__name__}#{hashlib.sha256(shapes.encode()).hexdigest()[:8]}"
    inner = getattr(model, "func", model)
    text = str(getattr(inner, "__qualname__", type(inner).__name__))
    if inner is not model:
        text += repr((getattr(model, "args", ()), getattr(model, "keywords", {})))
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)  # an address is another one in every process


def import_object(path: str, *, where: str = "task.model") -> Any:
    """The object at ``package.module:name``; the current folder is searched as well.

    Raises:
        InputError: no such module or name.
        UserCodeError: importing it failed.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name.isidentifier():
        raise InputError(
            "an import path must be 'package.module:name'",
            where=where,
            got=path or "nothing",
            fix="write for example 'my_models:build'",
        )
    before = copy.copy(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        # A module that is there but imports one that is not has failed; it is not missing.
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                "there is no such module",
                where=f"{where} = {path}",
                got=str(error),
                fix="run from the folder that holds it, or install it",
            ) from error
        raise UserCodeError(
            "importing the module failed",
            where=f"{where} = {path}",
            got=f"{type(error).__name__}: {error}",
            fix="mend the module; the cause stands above",
        ) from error
    finally:
        sys.path[:] = before
    if not hasattr(module, name):
        raise InputError(
            "the module has no such name",
            where=f"{where} = {path}",
            got=name,
            fix=f"it has: {', '.join(n for n in vars(module) if not n.startswith('_'))[:200]}",
        )
    return getattr(module, name)


def _arguments(source: Any, sizes: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Sizes by the names a builder has for them; two required names of its own mean in and out features."""
    try:
        parameters = inspect.signature(source).parameters.values()
    except (TypeError, ValueError):
        return (), {}
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    own = len(required) == 2 and not any(p.name in sizes for p in required)
    args = (sizes["in_features"], sizes["out_features"]) if own else ()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return args, {k: v for k, v in sizes.items() if k != "schema"}
    return args, {p.name: sizes[p.name] for p in parameters if p.name in sizes}
