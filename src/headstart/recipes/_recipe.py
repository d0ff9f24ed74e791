"""What a recipe is, and how recipes are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from headstart.errors import InputError

__all__ = ["SCALES", "Criterion", "Recipe", "Summary", "load", "names"]

SCALES = ("toy", "small", "full")


@dataclass(frozen=True)
class Criterion:
    """One bar of a claim: what was measured, what it had to be, and whether it was."""

    name: str
    passed: bool
    value: float | None
    bound: str


@dataclass(frozen=True)
class Summary:
    """What the raw numbers of all seeds say.

    Attributes:
        columns, rows: the table a reader wants.
        criteria: the bars of the claim.
        proves: verdict for each slug: reproduced, partly reproduced or not reproduced.
        notes: sentences on what else was seen.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    criteria: Sequence[Criterion]
    proves: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Recipe:
    """A claim and how to reproduce it.

    Attributes:
        slug: of the method (or part of the product) that it is about.
        claim: what is to be shown, in a sentence.
        scales: settings for each scale, with ``seeds`` among them.
        one: raw numbers of one seed, a function of (seed, settings).
        summarize: from the raw numbers of all seeds, in order, to a summary.
        draw: writes figures into a folder and returns their paths; or None.
    """

    slug: str
    claim: str
    scales: Mapping[str, Mapping[str, Any]]
    one: Callable[[int, Mapping[str, Any]], dict[str, Any]]
    summarize: Callable[[Sequence[dict[str, Any]], Mapping[str, Any]], Summary]
    draw: Callable[[Sequence[dict[str, Any]], Path], list[Path]] | None = None


def names() -> list[str]:
    """Slugs of all recipes, without importing them."""
    package = importlib.import_module("headstart.recipes")
    found = (item.name for item in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def load(slug: str) -> Recipe:
    """The recipe with this slug.

    Raises:
        InputError: there is none.
    """
    if slug not in names():
        raise InputError(
            "no recipe has this slug",
            where="recipe",
            got=slug,
            fix=f"use one of: {', '.join(names())}",
        )
    module: ModuleType = importlib.import_module(f"headstart.recipes.{slug.replace('-', '_')}")
    recipe: Recipe = module.RECIPE
    return recipe
