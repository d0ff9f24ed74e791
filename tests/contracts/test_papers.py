"""PAPER records: found without an import, true to their place, and complete."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from pathlib import Path

import pytest

from headstart.errors import HeadstartError, InputError
from headstart.papers import Located, Paper, discover, find

METHODS = discover()
FOLDER = Path(__file__).resolve().parents[2] / "src" / "headstart" / "methods"
SOCKETS = {"start", "schedule", "selector", "probe", "audit", "solver"}

GOOD = '''"""A method."""

import nothing_that_exists

PAPER = Paper(
    slug="two-words",
    title="A title (with brackets)",
    arxiv="2401.00001",
    year=2024,
    family="odd",
    socket="start",
    claim="It helps.",
)

raise RuntimeError("a method file is read, never run")
'''


def each() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("located", METHODS, ids=lambda located: located.paper.slug)


def write(root: Path, text: str, name: str = "two_words", family: str = "odd") -> Path:
    path = root / family / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_public_file_of_a_family_is_a_method() -> None:
    files = {path for path in FOLDER.glob("*/*.py") if not path.name.startswith("_")}
    assert files == {located.path for located in METHODS}
    assert files


def test_slugs_are_unique_and_sorted_within_a_family() -> None:
    slugs = [located.paper.slug for located in METHODS]
    assert len(set(slugs)) == len(slugs)
    order = [(located.paper.family, located.path.stem) for located in METHODS]
    assert order == sorted(order)


@each()
def test_a_record_is_complete(located: Located) -> None:
    paper = located.paper
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", paper.slug)
    assert paper.slug.replace("-", "_") == located.path.stem
    assert paper.family == located.path.parent.name
    assert paper.socket in SOCKETS
    assert paper.arxiv == "" or re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv)
    assert 1950 <= paper.year <= 2100
    assert paper.title.strip() == paper.title != ""
    assert paper.claim.endswith(".")
    assert len(paper.claim) <= 300
    assert paper.code == "" or paper.code.startswith("https://")


@each()
def test_the_record_read_is_the_record_imported(located: Located) -> None:
    module = importlib.import_module(located.module)
    assert located.paper == module.PAPER


@each()
def test_the_module_says_what_it_is_for_and_what_is_public(located: Located) -> None:
    module = importlib.import_module(located.module)
    assert len(module.__doc__ or "") > 100
    assert module.__all__
    public = [getattr(module, name) for name in module.__all__]
    assert all(item.__doc__ for item in public if inspect.isclass(item) or inspect.isfunction(item))


@each()
def test_the_adapter_is_a_frozen_value_whose_fields_are_checked(located: Located) -> None:
    if located.paper.socket != "start":
        return
    adapter = importlib.import_module(located.module).ADAPTER
    assert dataclasses.is_dataclass(adapter)
    assert adapter.__dataclass_params__.frozen  # type: ignore[attr-defined]
    start = adapter()  # every hyper-parameter has a default
    assert start.data_passes >= 0
    for field in dataclasses.fields(adapter):
        with pytest.raises(InputError):
            adapter(**{field.name: object()})


def test_a_record_is_read_without_running_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    paper = Paper("two-words", "A title (with brackets)", "2401.00001", 2024, "odd", "start", "It helps.")
    assert discover(tmp_path) == (Located(paper, "headstart.methods.odd.two_words", path),)
    assert find("two-words", tmp_path).paper == paper


def test_files_without_a_record_and_private_files_are_no_methods(tmp_path: Path) -> None:
    write(tmp_path, "x = 1\n", name="helper")
    write(tmp_path, GOOD, name="_private")
    assert discover(tmp_path) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('slug="two-words"', 'slug="other-words"'),
        ('family="odd"', 'family="even"'),
        ("year=2024", "year=this_year()"),
        ('socket="start",', ""),
        ('socket="start",', 'socket="start", colour="red",'),
        ('slug="two-words"', '"two-words"'),
        ('claim="It helps.",\n)', 'claim="It helps."'),
    ],
    ids=["slug", "family", "not literal", "missing", "unknown", "positional", "not closed"],
)
def test_a_record_that_cannot_be_trusted_is_an_error_with_its_file(
    tmp_path: Path, old: str, new: str
) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(HeadstartError) as caught:
        discover(tmp_path)
    assert caught.value.where == str(path)
    assert caught.value.got
    assert caught.value.fix


def test_an_unknown_slug_names_the_nearest() -> None:
    slug = METHODS[0].paper.slug
    with pytest.raises(InputError) as caught:
        find(slug + "x")
    assert slug in caught.value.fix


@pytest.mark.parametrize("slug", ["", "../papers", "reuse/warm", "WARM", "_common", None, 3])
def test_what_is_no_slug_is_refused(slug: object) -> None:
    with pytest.raises(InputError):
        find(slug)  # type: ignore[arg-type]
