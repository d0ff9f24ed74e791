"""The library: published methods, one paper one file, found by slug.

>>> import headstart as hs
>>> hs.methods.load("shrink-perturb").__name__
'headstart.methods.reuse.shrink_perturb'
"""

from __future__ import annotations

import importlib
from types import ModuleType

from headstart.papers import Paper, discover, find

__all__ = ["load", "papers"]


def load(slug: str) -> ModuleType:
    """The module of the method with this slug, whatever its family.

    Raises:
        headstart.errors.InputError: no method has it.
    """
    return importlib.import_module(find(slug).module)


def papers() -> tuple[Paper, ...]:
    """The records of all methods, by family and slug."""
    return tuple(item.paper for item in discover())
