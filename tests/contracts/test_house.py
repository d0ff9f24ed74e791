"""The rules of the house, read from the source itself (docs/adding-a-method.md and CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.papers import discover

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "headstart"
FILES = sorted(SRC.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
METHODS = [located.paper.slug for located in discover()]

FOUR_PARTS = {"HeadstartError", "InputError", "StoreError", "DivergedError", "UserCodeError"}
# Errors that build their four parts from arguments of their own.
OWN_PARTS = {
    "ConfigError": (1, {"where"}),
    "CorruptionError": (1, {"expected", "found"}),
    "InterruptedRunError": (1, {"signal", "where", "fix"}),
}
ERRORS = FOUR_PARTS | set(OWN_PARTS)
HEAVY = {
    "torch",
    "numpy",
    "sqlalchemy",
    "pydantic",
    "rich",
    "jinja2",
    "plotly",
    "scipy",
    "sklearn",
    "pandas",
    "pyarrow",
    "fsspec",
    "safetensors",
}
LIGHT = [SRC / "__init__.py", SRC / "errors.py", SRC / "papers.py", SRC / "protocols.py"]
LIGHT += [SRC / "methods" / "__init__.py", *sorted((SRC / "cli").glob("*.py"))]
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=named)


def walk(node: ast.AST, inside: tuple[ast.AST, ...] = ()) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Every node with the chain of nodes around it."""
    yield node, inside
    for child in ast.iter_child_nodes(node):
        yield from walk(child, (*inside, node))


def at(path: Path, node: ast.AST, text: str = "") -> str:
    return f"{named(path)}:{getattr(node, 'lineno', 1)} {text}"


def last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_protocol(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(last_name(base) == "Protocol" for base in node.bases)


def handled(node: ast.Try) -> set[str]:
    """Names of the exceptions that a ``try`` catches."""
    kinds = [handler.type for handler in node.handlers]
    return {last_name(n) for kind in kinds if kind for n in ast.walk(kind)} - {""}


def imported(node: ast.AST) -> set[str]:
    """Top-level packages that this statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").split(".")[0]}
    return set()


@each(FILES)
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@each(FILES)
def test_a_function_has_at_most_60_lines(path: Path) -> None:
    long = [
        at(path, node, f"{node.name}: {node.end_lineno - node.lineno + 1} lines")
        for node, _ in walk(TREES[path])
        if isinstance(node, Function) and node.end_lineno and node.end_lineno - node.lineno + 1 > 60
    ]
    assert not long


@each(FILES)
def test_a_public_function_has_at_most_7_parameters_without_keyword_and_default(path: Path) -> None:
    wide = []
    for node, _ in walk(TREES[path]):
        if not isinstance(node, Function) or private(node.name):
            continue
        arguments = node.args
        plain = [a for a in (*arguments.posonlyargs, *arguments.args) if a.arg not in ("self", "cls")]
        verb = any(dotted(getattr(d, "func", d)).endswith("command") for d in node.decorator_list)
        # click calls a verb, by keyword; the defaults of its options stand in their decorators
        count = len(plain) + (0 if verb else arguments.kw_defaults.count(None))
        if count > 7:
            wide.append(at(path, node, f"{node.name}: {count} parameters"))
    assert not wide


@each(FILES)
def test_everything_public_has_a_docstring(path: Path) -> None:
    bare = [] if ast.get_docstring(TREES[path]) or not TREES[path].body else [at(path, TREES[path], "module")]
    for node, inside in walk(TREES[path]):
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        around = [outer for outer in inside if not isinstance(outer, ast.Module)]
        if any(not isinstance(outer, (ast.ClassDef, ast.If)) for outer in around):
            continue  # local to a function
        if any(is_protocol(outer) or private(getattr(outer, "name", "")) for outer in around):
            continue
        overload = any(last_name(d) == "overload" for d in node.decorator_list)
        if node.name != "forward" and not overload and not ast.get_docstring(node):
            bare.append(at(path, node, node.name))
    assert not bare


@each(FILES)
def test_nothing_is_asserted(path: Path) -> None:
    assert not [at(path, node) for node, _ in walk(TREES[path]) if isinstance(node, ast.Assert)]


@each(FILES)
def test_an_error_says_what_where_got_and_fix(path: Path) -> None:
    short = []
    for node, _ in walk(TREES[path]):
        if not isinstance(node, ast.Call) or last_name(node.func) not in ERRORS:
            continue
        name = last_name(node.func)
        count, wanted = OWN_PARTS.get(name, (1, {"where", "got", "fix"}))
        given = {keyword.arg for keyword in node.keywords}
        empty = {k.arg for k in node.keywords if isinstance(k.value, ast.Constant) and k.value.value == ""}
        missing = (wanted - given) | (wanted & empty)
        if len(node.args) != count or missing:
            short.append(at(path, node, f"{name}: {len(node.args)} positional, missing {sorted(missing)}"))
    assert not short


@each(FILES)
def test_what_is_raised_is_an_error_of_ours(path: Path) -> None:
    """Others only inside private helpers, as AttributeError in ``__getattr__``, raised again, or where
    the same function turns them into an error of ours."""
    foreign = []
    for node, inside in walk(TREES[path]):
        if not isinstance(node, ast.Raise) or node.exc is None:
            continue
        functions = [outer for outer in inside if isinstance(outer, Function)]
        caught = {outer.name for outer in inside if isinstance(outer, ast.ExceptHandler)}
        name = last_name(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        again = isinstance(node.exc, ast.Name) and node.exc.id in caught
        helper = any(private(outer.name) for outer in functions)
        lazy = name == "AttributeError" and any(outer.name == "__getattr__" for outer in functions)
        turned = any(
            isinstance(outer, ast.Try) and inner in outer.body and name in handled(outer)
            for outer, inner in itertools.pairwise((*inside, node))
        )
        built = private(name)  # a private function that builds one of our errors
        if not (name in ERRORS or again or helper or lazy or built or turned):
            foreign.append(at(path, node, ast.unparse(node)))
    assert not foreign


@each(FILES)
def test_nothing_is_unpickled(path: Path) -> None:
    loads = []
    for node, _ in walk(TREES[path]):
        if imported(node) & UNPICKLERS:
            loads.append(at(path, node, ast.unparse(node)))
        if isinstance(node, ast.Attribute) and dotted(node) in ("torch.load", "torch.save"):
            loads.append(at(path, node, dotted(node)))
        if (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and ast.unparse(node.value) != "False"
        ):
            loads.append(at(path, node.value, "allow_pickle"))
    assert not loads


@each(LIGHT)
def test_a_light_module_imports_nothing_heavy_at_its_top(path: Path) -> None:
    heavy = []
    for node, inside in walk(TREES[path]):
        typing = any(isinstance(o, ast.If) and last_name(o.test) == "TYPE_CHECKING" for o in inside)
        local = any(isinstance(outer, Function) for outer in inside)
        if not typing and not local and imported(node) & HEAVY:
            heavy.append(at(path, node, ast.unparse(node)))
    assert not heavy


@each(FILES)
def test_nothing_inherits_but_what_must(path: Path) -> None:
    """No inheritance beyond protocols, torch's own bases, exceptions, and pydantic's and click's."""
    allowed = {"Protocol", "Module", "Optimizer", "LRScheduler", "Dataset", "Sampler", "Exception"}
    allowed |= {"ValueError", "BaseModel", "Group", "Enum", "StrEnum", "NamedTuple", "TypedDict", "Generic"}
    allowed |= ERRORS
    children = [
        at(path, node, f"{node.name}({ast.unparse(base)})")
        for node, _ in walk(TREES[path])
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if last_name(base.value if isinstance(base, ast.Subscript) else base) not in allowed
    ]
    assert not children


def test_every_method_has_its_test() -> None:
    tests = {path.stem for path in (ROOT / "tests" / "methods").glob("test_*.py")}
    assert not [slug for slug in METHODS if f"test_{slug.replace('-', '_')}" not in tests]


def test_every_method_has_its_section_in_the_docs() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert not [slug for slug in METHODS if f"\n## {slug}\n" not in page]


def test_every_method_is_proved_by_a_recipe() -> None:
    """Its own recipe, or one that names it; the two starts that everything is compared with need none."""
    texts = {
        constant.value
        for path in (SRC / "recipes").glob("*.py")
        for constant in ast.walk(TREES[path])
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    assert not [slug for slug in METHODS if slug not in texts and slug not in ("scratch", "warm")]


SKIPPED = {".git", ".venv", "runs", "build", "dist", "demo-report", "__pycache__"}
GENERATED = (".egg-info", "_cache", ".hypothesis")
SUFFIXES = {".py", ".md", ".toml", ".txt", ".json", ".svg", ".jinja", ".css", ".js", ".html", ".yml", ""}


def ours() -> Iterator[Path]:
    """The repository's text files."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in SKIPPED and not name.endswith(GENERATED)]
        yield from (Path(folder, name) for name in files if Path(name).suffix in SUFFIXES)


def test_nothing_names_a_place_outside_the_repository() -> None:
    everywhere = re.compile(r"(?<![\w.])/(?:work|tmp|opt|root|home)/|sand" + "box")
    beside = re.compile(r"\bsha" + "red/")
    found = []
    for path in ours():
        text = path.read_text(encoding="utf-8", errors="replace")
        mine = named(path).startswith("tests/") or named(path) == ".ci/run"
        if path != Path(__file__).resolve():
            hits = list(everywhere.finditer(text)) + ([] if mine else list(beside.finditer(text)))
            found += [f"{named(path)}: …{text[max(0, h.start() - 30) : h.end() + 20]!r}" for h in hits]
    assert not found
