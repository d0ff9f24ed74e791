"""Notes of an unfinished run: trusted when whole, made again when not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from headstart.lifecycle.notes import Notes, remove_tree


def test_a_note_comes_back_as_it_will_always_be_read(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "run")
    assert notes.get("plan") is None
    assert notes.put("plan", {"b": (1, 2), "a": None}) == {"b": [1, 2], "a": None}
    assert Notes(tmp_path / "run").get("plan") == {"b": [1, 2], "a": None}
    assert list(notes.get("plan")) == ["b", "a"]


def test_work_is_done_once(tmp_path: Path) -> None:
    notes, done = Notes(tmp_path), []

    def work() -> Any:
        done.append(1)
        return {"n": len(done)}

    assert [notes.once("x", work) for _ in range(3)] == [{"n": 1}] * 3
    notes.put("empty", [])
    assert notes.once("empty", work) == [] and len(done) == 1


def test_a_process_that_only_reads_leaves_nothing(tmp_path: Path) -> None:
    reader = Notes(tmp_path / "run", write=False)
    assert reader.put("x", (1,)) == [1] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"value": {"n": 1}}', b"[" * 100_000, None]
)
def test_a_damaged_note_counts_as_missing(tmp_path: Path, damage: bytes | None) -> None:
    notes = Notes(tmp_path)
    notes.put("x", {"n": 1, "m": 2})
    path = tmp_path / "x.json"
    assert json.loads(path.read_bytes())["value"] == {"n": 1, "m": 2}
    path.write_bytes(path.read_bytes().replace(b'"n": 1', b'"n": 3') if damage is None else damage)
    assert notes.get("x") is None
    assert notes.once("x", lambda: {"n": 1}) == {"n": 1} == notes.get("x")


def test_the_digest_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.put("x", {"a": 1, "b": 2})
    stored = json.loads((tmp_path / "x.json").read_bytes())
    stored["value"] = {"b": 2, "a": 1}
    (tmp_path / "x.json").write_text(json.dumps(stored))
    assert notes.get("x") == {"a": 1, "b": 2}


def test_a_folder_is_removed_but_nothing_that_it_only_points_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "run"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "file").touch()
    (folder / "link").symlink_to(outside)
    remove_tree(folder)
    assert not folder.exists() and (outside / "kept").exists()
    remove_tree(folder)  # what is not there is no error
    for name in ("stuck", "z", "a"):
        (folder / name).mkdir(parents=True)
    real = Path.rmdir

    def refuse(path: Path) -> None:
        if path.name == "stuck":
            raise OSError("busy")
        real(path)

    monkeypatch.setattr(Path, "rmdir", refuse)
    remove_tree(folder)
    assert os.listdir(folder) == ["stuck"]
