"""Hostile artifacts: refused by their readers, and in forked children that watch what they do."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.reliability import hostile
from benchmarks.reliability._campaign import Setting
from benchmarks.reliability._hostile import forged, trial
from benchmarks.reliability._hostile.cases import MANIFESTS, corpus
from benchmarks.reliability._hostile.files import ALIASES, DOCUMENTS, ROWS, STRANGERS, TENSORS
from benchmarks.reliability._hostile.pages import pages
from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.artifact import Opened, commit_directory, open_directory
from headstart.lifecycle.data.rows import Rows, load_rows, save_rows
from headstart.lifecycle.tensors import load_tensors, save_tensors
from headstart.lifecycle.untrusted import parse_json

# What is large is left to the trials, which measure what it takes.
FILES = {name: content for name, content in (STRANGERS | TENSORS).items() if isinstance(content, bytes)}
TABLES = FILES | {name: content for name, content in ROWS.items() if isinstance(content, bytes)}
TEXTS = {name: content for name, content in (STRANGERS | DOCUMENTS).items() if isinstance(content, bytes)}


def test_the_fast_subset_is_refused(tmp_path: Path) -> None:
    [outcome] = hostile.run(Setting(folder=tmp_path))
    assert outcome.examples == () and outcome.met and outcome.figure == "R10"


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in [*corpus(), *pages()]]
    assert len(set(names)) == len(names) >= 480


@pytest.mark.parametrize("name", FILES | ALIASES)
def test_a_hostile_file_of_tensors_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.safetensors"
    forged.put(path, (FILES | ALIASES)[name])
    with pytest.raises(CorruptionError) as caught:
        load_tensors(path)
    assert caught.value.file == str(path)


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows.safetensors"
    forged.put(path, TABLES[name])
    with pytest.raises(StoreError):
        load_rows(path)


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_document_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        parse_json(TEXTS[name])


@pytest.mark.parametrize("name", [name for name, made in MANIFESTS.items() if not callable(made)])
def test_a_hostile_manifest_is_refused(tmp_path: Path, name: str) -> None:
    folder = forged.raw_folder(tmp_path / "versions", MANIFESTS[name])
    (folder / "note.txt").write_text(forged.SECRET)
    with pytest.raises(StoreError):  # noqa: PT012 (some are refused when a file is asked for)
        opened = open_directory(folder, folder.name)
        Opened(opened.path, opened.manifest).check()


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    names = [f"{i:0500}" for i in range(5000)]
    small = dict.fromkeys(names, torch.empty(0))
    with pytest.raises(InputError, match="too many names"):
        save_tensors(small, tmp_path / "t")
    with pytest.raises(InputError, match="too many names"):
        save_rows(Rows({name: np.zeros(1) for name in names}), tmp_path / "r")
    save_tensors({**small, "large": torch.zeros(2**26, dtype=torch.uint8)}, tmp_path / "t")
    assert len(load_tensors(tmp_path / "t")) == 5001  # as many names, for more values
    with pytest.raises(InputError, match="too large"):
        commit_directory(tmp_path, None, {"a.json": b" " * (64 * 2**20 + 1)}, {})
    with pytest.raises(InputError, match="too large"):
        commit_directory(tmp_path, None, {"a.json": b"1"}, {"note": "x" * 2**20})
    for unsafe in (["a", "A"], ["nul.json"], ["a."], ["Manifest.json"]):
        with pytest.raises(InputError, match="safe"):
            commit_directory(tmp_path, None, dict.fromkeys(unsafe, b"1"), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "t"]


def _unpickle(folder: Path) -> None:
    pickle.loads((folder / "pickle").read_bytes())
    raise StoreError("refused too late", where="w", got="g", fix="f")


def _grow(folder: Path) -> None:
    assert len(b"\1" * (100 * 2**20)) > 0
    raise StoreError("refused too late", where="w", got="g", fix="f")


FAULTS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "nothing is refused": ("it was taken", lambda folder: None),
    "an error of another kind": ("ZeroDivisionError", lambda folder: 1 / 0),
    "code is run": ("its code was run", _unpickle),
    "memory is taken": ("it took 10", _grow),
    "a file is read elsewhere": ("opened", lambda folder: (folder / "outside" / "secret.txt").read_text()),
    "a file is written elsewhere": ("beside the store", lambda folder: (folder / "new").write_text("x")),
    "the champion is gone": ("not served", lambda folder: (folder / "store" / "store.db").unlink()),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_trial_finds_what_goes_wrong(tmp_path: Path, name: str) -> None:
    """The detectors themselves, each with what it must detect."""
    words, fault = FAULTS[name]

    def prepare(folder: Path) -> None:
        forged.sound(folder)
        forged.put(folder / "pickle", STRANGERS["a pickle"])

    case = trial.Case(name=name, prepare=prepare, attempt=fault, reads=("pickle",))
    problem, _ = trial.tried(case, tmp_path / "case", lambda: None)
    assert problem is not None and words in problem


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_trial_stops_a_reader_that_would_remove_what_lies_elsewhere(
    tmp_path: Path, through_a_link: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")

    def prepare(folder: Path) -> None:
        forged.sound(folder)
        (folder / "store" / "link").symlink_to(tmp_path)

    def harm(folder: Path) -> None:
        target = folder / "store" / "link" / "elsewhere" if through_a_link else elsewhere
        for change in (shutil.rmtree, lambda path: os.rename(path, folder / "store" / "x")):
            with contextlib.suppress(RuntimeError):
                change(target)
        with contextlib.suppress(RuntimeError):
            (target / "file").write_text("y")

    case = trial.Case(name="harm", prepare=prepare, attempt=harm)
    problem, _ = trial.tried(case, tmp_path / "case", lambda: None)
    assert problem is not None and "shutil.rmtree" in problem and "os.rename" in problem
    assert (elsewhere / "file").read_text() == "x"
