"""The Paper record of a method, and how methods are found without importing them.

A method is a file ``methods/<family>/<slug with underscores>.py`` that holds one literal
``PAPER = Paper(...)``. :func:`discover` reads that literal with :mod:`ast`; nothing is imported, so
listing every method costs milliseconds and adding one edits no list.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
from pathlib import Path

from headstart.errors import HeadstartError, InputError

__all__ = ["Located", "Paper", "discover", "find"]

_METHODS = Path(__file__).parent / "methods"
_MARK = "\nPAPER = Paper("


@dataclasses.dataclass(frozen=True)
class Paper:
    """What a method is, where it comes from and what it claims.

    Attributes:
        slug: the name used everywhere, words joined by dashes.
        title: title of the paper.
        arxiv: arXiv number, or "" for a method without a paper.
        year: year of first publication.
        family: folder under ``methods/``.
        socket: the protocol it fits: start, schedule, selector, probe, audit or solver.
        claim: what it is for and what it gains, in one sentence.
        venue: where it was published, or "".
        code: the authors' code, or "".
    """

    slug: str
    title: str
    arxiv: str
    year: int
    family: str
    socket: str
    claim: str
    venue: str = ""
    code: str = ""


@dataclasses.dataclass(frozen=True)
class Located:
    """A paper record and the module that implements it."""

    paper: Paper
    module: str
    path: Path


def discover(root: Path = _METHODS) -> tuple[Located, ...]:
    """All methods under ``root``, sorted by family and slug."""
    files = sorted(root.glob("*/*.py"))
    found = (_read(path) for path in files if not path.name.startswith("_"))
    return tuple(item for item in found if item is not None)


def find(slug: str, root: Path = _METHODS) -> Located:
    """The method with this slug.

    Raises:
        InputError: no method has it; names the nearest ones.
    """
    name = slug.replace("-", "_") if isinstance(slug, str) else ""
    for path in root.glob(f"*/{name}.py") if name.isidentifier() else ():
        located = _read(path)
        if located is not None:
            return located
    import difflib

    known = [item.paper.slug for item in discover(root)]
    near = difflib.get_close_matches(str(slug), known, n=3, cutoff=0.4) or known
    raise InputError(
        "no method has this slug",
        where="method slug",
        got=slug,
        fix=f"use one of: {', '.join(near)}; `headstart methods` lists all",
    )


@functools.cache
def _read(path: Path) -> Located | None:
    text = path.read_text(encoding="utf-8")
    start = text.find(_MARK)
    if start < 0:
        return None
    try:
        end = text.index("\n)", start)
        call = ast.parse(text[start + 1 : end + 2]).body[0]
        paper = _paper_from(call)
    except (ValueError, SyntaxError, TypeError) as error:
        raise HeadstartError(
            "a PAPER record cannot be read",
            where=str(path),
            got=str(error),
            fix="write it as `PAPER = Paper(slug=..., ...)`, literals only, closed on a line of its own",
        ) from error
    if paper.slug.replace("-", "_") != path.stem or paper.family != path.parent.name:
        raise HeadstartError(
            "a PAPER record disagrees with its place",
            where=str(path),
            got=f"slug {paper.slug!r}, family {paper.family!r}",
            fix="name the file after the slug and put it into the family's folder",
        )
    return Located(paper, f"headstart.methods.{path.parent.name}.{path.stem}", path)


def _paper_from(statement: ast.stmt) -> Paper:
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
        raise ValueError("PAPER is not assigned a Paper(...) call")
    if statement.value.args:
        raise ValueError("positional arguments")
    fields = {str(kw.arg): ast.literal_eval(kw.value) for kw in statement.value.keywords}
    return Paper(**fields)
