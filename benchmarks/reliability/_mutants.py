"""Mutants of a Python file: the same file with one small fault each.

Left alone are docstrings, annotations, decorators, ``__all__``, ``__repr__``, what only a type checker
reads, f-strings, and all that is said in errors and problems: another wording breaks no promise.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

__all__ = ["Mutant", "mutants"]

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_Node = TypeVar("_Node", bound=ast.AST)
_Forced = tuple[str, ...] | None
_SAID = {"what", "where", "got", "fix", "repr"}


@dataclass(frozen=True)
class _Place:
    """Where a node stands: its function, and the lines that run when it does.

    Attributes:
        name: qualified name of the function or class; "" at the top.
        lines: first and last line of the statement, or of a compound statement's head.
        loaded: whether it runs when the module is loaded, so that no test is seen to run it.
    """

    name: str = ""
    lines: tuple[int, int] = (1, 1)
    loaded: bool = True


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: the file, relative to the folder of the source.
        name: what tells it from all others of the file, and outlives changes elsewhere in it.
        line: where it is.
        lines: a test that runs none of these lines cannot notice it; None when every test of the file may.
        source: text of the whole file with the fault.
    """

    file: str
    name: str
    line: int
    lines: tuple[int, int] | None
    source: str

    @property
    def id(self) -> str:
        """File and name."""
        return f"{self.file}: {self.name}"


def mutants(source: str, file: str) -> list[Mutant]:
    """Every mutant of a file, from its top to its end."""
    found, seen = [], Counter[str]()
    tree = ast.parse(source)
    paths = any(isinstance(n, ast.ImportFrom) and n.module == "pathlib" for n in ast.walk(tree))
    for node, place, forced in _nodes(tree, _Place()):
        if paths and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            continue  # joined paths: another operator does not run at all
        # Turning a condition round is noticed by whoever notices that it is forced.
        variants = () if forced is not None and _is_truth(node) else _variants(node)
        for new in (*(forced or ()), *variants):
            name = f"{place.name or 'module'}: {_short(ast.unparse(node))} -> {_short(new)}"
            seen[name] += 1
            name += f" #{seen[name]}" if seen[name] > 1 else ""
            lines = None if place.loaded else place.lines
            found.append(Mutant(file, name, node.lineno, lines, _replaced(source, node, new)))
    return found


def _nodes(node: ast.AST, place: _Place) -> Iterator[tuple[ast.expr | ast.stmt, _Place, _Forced]]:
    """The nodes that may be mutated, with what a condition is forced to."""
    for child in ast.iter_child_nodes(node):
        if _left_alone(node, child):
            continue
        inner = place
        if isinstance(child, ast.stmt):
            inner = _inside(child, place)
        if isinstance(child, ast.expr | ast.stmt):
            yield child, inner, _forced(node, child)
        yield from _nodes(child, inner)


def _inside(statement: ast.stmt, place: _Place) -> _Place:
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    here = replace(place, lines=(statement.lineno, max(last, statement.lineno)))
    if isinstance(statement, ast.FunctionDef):
        # Defaults run when the module is loaded: whoever runs the body may notice.
        name = f"{place.name}.{statement.name}".lstrip(".")
        return _Place(name, (statement.body[0].lineno, statement.end_lineno or statement.lineno), False)
    if isinstance(statement, ast.ClassDef):
        return replace(here, name=f"{place.name}.{statement.name}".lstrip("."))
    return here


def _forced(parent: ast.AST, node: ast.AST) -> _Forced:
    """What a condition is forced to be; None when the node is no condition."""
    if isinstance(node, ast.Constant):
        return None
    if isinstance(parent, ast.IfExp) and node is parent.test:
        return ()  # each branch alone is a mutant of the whole expression
    if isinstance(parent, ast.If) and node is parent.test:
        return ("True", "False")
    if isinstance(parent, ast.While) and node is parent.test:
        return ("False",)
    return ("True",) if isinstance(parent, ast.comprehension) and node in parent.ifs else None


def _left_alone(parent: ast.AST, node: ast.AST) -> bool:
    if isinstance(parent, ast.FunctionDef | ast.ClassDef) and node in parent.decorator_list:
        return True
    if node in (getattr(parent, "annotation", None), getattr(parent, "returns", None)):
        return True
    if isinstance(node, ast.FunctionDef):
        return node.name == "__repr__"
    if isinstance(node, ast.Raise):  # when it is all there is, a condition forced to be false does the same
        return isinstance(parent, ast.If) and parent.body == [node] and not parent.orelse
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        if isinstance(parent, ast.Module) and isinstance(node.value, ast.BinOp | ast.Subscript):
            return not any(isinstance(n, ast.Constant) and n.value is not None for n in ast.walk(node.value))
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    if isinstance(node, ast.Call):
        return _called(node).endswith(("Error", "Problem"))
    if isinstance(node, ast.keyword):
        return node.arg in _SAID
    if isinstance(parent, ast.keyword) and isinstance(node, ast.Constant):
        return isinstance(node.value, bool) and parent.arg is not None  # the same as leaving it out
    plain = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return plain or isinstance(node, ast.JoinedStr)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _variants(node: ast.expr | ast.stmt) -> Iterator[str]:
    """What may stand in place of a node."""
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.IfExp):
        yield from (f"({ast.unparse(branch)})" for branch in (node.body, node.orelse))
    else:
        yield from (f"({ast.unparse(changed)})" for changed in _expressions(node))


def _statements(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield "pass"
    elif isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield "return None"
    elif isinstance(node, ast.Break):
        yield "continue"
    elif isinstance(node, ast.Continue):
        yield "break"
    elif isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED and not _is_text(node.value):
        yield ast.unparse(_with(node, op=_COMPUTED[type(node.op)]()))


def _constants(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield repr(not value)
    elif isinstance(value, int | float):
        yield repr(value + 1)
    elif isinstance(value, str | bytes):
        yield repr(type(value)()) if value else repr("X")


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            yield _with(node, ops=[*node.ops[:place], _COMPARED[type(op)](), *node.ops[place + 1 :]])
    elif isinstance(node, ast.BinOp):
        if type(node.op) in _COMPUTED and not _is_text(node.left) and not _is_text(node.right):
            yield _with(node, op=_COMPUTED[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            yield node.operand
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in _SAID:
                yield _with(node, keywords=[other for other in node.keywords if other is not keyword])


def _is_truth(node: ast.expr | ast.stmt) -> bool:
    """A condition of which every mutant is its opposite."""
    ordered = ast.Lt | ast.LtE | ast.Gt | ast.GtE
    compared = isinstance(node, ast.Compare) and not any(isinstance(op, ordered) for op in node.ops)
    return compared or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))


def _is_text(node: ast.expr) -> bool:
    """Joined texts: another operator does not run at all and would say nothing."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _with(node: _Node, **changed: object) -> _Node:
    made = copy.copy(node)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def _replaced(source: str, node: ast.expr | ast.stmt, new: str) -> str:
    # Columns count bytes.
    lines = source.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    return b"".join([*lines[:first], before, new.encode(), after, *lines[last + 1 :]]).decode()


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:69] + "…"
