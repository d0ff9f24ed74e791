"""Manifests, names of files and limits, at their exact edges; what a checkpoint leaves and refuses."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.errors import CorruptionError, InputError
from headstart.lifecycle import artifact, failpoints
from headstart.lifecycle.artifact import (
    as_json,
    check_file,
    commit_directory,
    identity,
    open_directory,
    read_checkpoint,
    write_checkpoint,
)

ENTRY = {"sha256": "0" * 64, "size": 1}
HEADS: dict[str, dict[str, Any]] = {
    "versions": {"parents": ["x"]},
    "arrivals": {"kind": "arrival", "digest": "d", "count": 1, "counts": {}, "reference": None, "note": {}},
}


def written(folder: Path, manifest: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    return folder


def test_documents_and_identities_have_one_form() -> None:
    assert as_json({"b": 1, "a": ["é"]}) == '{\n "b": 1,\n "a": [\n  "é"\n ]\n}'.encode()
    assert identity({"b": "é", "a": 1}) == hashlib.sha256('{"a": 1, "b": "é"}'.encode()).hexdigest()[:16]
    assert len(identity({"a": "\udc80"})) == 16
    for where in ("here", "document"):
        with pytest.raises(InputError) as caught:
            as_json({1, 2}, *([where] if where == "here" else []))
        assert caught.value.where == where


def test_a_manifest_says_what_it_should(tmp_path: Path) -> None:
    made = commit_directory(tmp_path, "x", {"b": b"12", "a": b""}, {"kind": "k"})
    empty, two = (hashlib.sha256(raw).hexdigest() for raw in (b"", b"12"))
    files = {"a": {"sha256": empty, "size": 0}, "b": {"sha256": two, "size": 2}}
    assert made.manifest == {"format": 1, "kind": "k", "files": files}
    assert json.loads((made.path / "manifest.json").read_bytes()) == made.manifest
    with pytest.raises(InputError) as caught:
        commit_directory(tmp_path, "y", {}, {"kind": float("nan")})
    assert caught.value.where == "manifest" and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("format", [0, -1, True, 1.0, "1", None])
def test_a_format_is_a_whole_number_from_1(tmp_path: Path, format: object) -> None:
    with pytest.raises(CorruptionError):
        open_directory(written(tmp_path / "x", {"format": format, "files": {}}))
    assert open_directory(written(tmp_path / "x", {"format": 1, "files": {}})).manifest["files"] == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"sha256": "0" * 63, "size": 1},
        {"sha256": "0" * 65, "size": 1},
        {"sha256": "G" * 64, "size": 1},
        {"sha256": "0" * 64, "size": "1"},
        {"sha256": "0" * 64, "size": True},
        {"size": 1},
        7,
    ],
)
def test_an_entry_has_a_digest_and_a_size(tmp_path: Path, entry: object) -> None:
    for entries in ({"a": entry}, {"a": ENTRY, "b": entry}):
        with pytest.raises(CorruptionError):
            open_directory(written(tmp_path / "x", {"format": 1, "files": entries}))
    assert open_directory(written(tmp_path / "x", {"format": 1, "files": {"a": ENTRY}})).path.name == "x"


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, head in HEADS.items() for key in head])
def test_a_head_has_values_of_its_kinds(tmp_path: Path, kind: str, key: str) -> None:
    whole = {"format": 1, "files": {}, **HEADS[kind]}
    assert open_directory(written(tmp_path / kind / "x", whole)).manifest == whole
    missing = {name: value for name, value in whole.items() if name != key}
    for wrong in (missing, {**whole, key: 1.5}):
        with pytest.raises(CorruptionError):
            open_directory(written(tmp_path / kind / "x", wrong))
    assert open_directory(written(tmp_path / "others" / "x", {"format": 1, "files": {}})).path.is_dir()


def test_parents_are_ids(tmp_path: Path) -> None:
    for place in ("versions", "others"):
        with pytest.raises(CorruptionError):
            open_directory(written(tmp_path / place / "x", {"format": 1, "files": {}, "parents": ["a", 1]}))


def test_a_manifest_has_at_most_one_mebibyte(tmp_path: Path) -> None:
    short = b'{"format": 1, "files": {}}'
    assert (artifact.LARGEST_MANIFEST, artifact._LARGEST_DOCUMENT) == (2**20, 64 * 2**20)
    open_directory(written(tmp_path / "x", short.ljust(2**20)))
    with pytest.raises(CorruptionError, match="at most 1048576 bytes"):
        open_directory(written(tmp_path / "x", short.ljust(2**20 + 1)))


UNSAFE = ["", ".a", "-a", "a/b", "a\\b", "a b", "a\n", "é", "x" * 122, "a.", "manifest.json", "MANIFEST.json"]
UNSAFE += ["con", "CON.txt", "aux", "nul.json", "prn", "com1", "lpt9.x"]


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_name_is_neither_written_nor_read(tmp_path: Path, name: str) -> None:
    for files in ({name: b""}, {"a": b"", name: b"", "b": b""}):
        with pytest.raises(InputError, match="not safe"):
            commit_directory(tmp_path, "x", files, {})
    assert not list(tmp_path.iterdir())
    with pytest.raises(CorruptionError):
        open_directory(written(tmp_path / "x", {"format": 1, "files": {"ok": ENTRY, name: ENTRY}}))


def test_two_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not safe") as caught:
        commit_directory(tmp_path, "x", {"Plan.json": b"1", "b": b"", "plan.json": b"2"}, {})
    assert caught.value.got == "plan.json" and not list(tmp_path.iterdir())
    names = ["console", "com", "x" * 121, "A-1_b.c", "0"]
    assert sorted(commit_directory(tmp_path, "x", dict.fromkeys(names, b""), {}).manifest["files"]) == sorted(
        names
    )


def test_what_is_too_large_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "LARGEST_MANIFEST", 500)
    monkeypatch.setattr(artifact, "_LARGEST_DOCUMENT", 1000)
    made = commit_directory(tmp_path, None, {"a.json": b"1" * 1000, "b.bin": b"1" * 2000}, {"k": "x" * 10})
    assert json.loads(made.file("a.json").read_bytes()) == int("1" * 1000)
    with pytest.raises(InputError, match="too large") as caught:
        commit_directory(tmp_path, None, {"a.json": b"1" * 1001}, {})
    assert (caught.value.where, caught.value.got) == ("a.json", "1001 bytes")
    with pytest.raises(InputError, match=r"too large.*manifest\.json"):
        commit_directory(tmp_path, None, {"a.json": b"1"}, {"k": "x" * 600})
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(artifact, "_LARGEST_DOCUMENT", 999)
    with pytest.raises(CorruptionError, match="more than 999 bytes"):
        made.json("a")


def test_a_link_to_the_right_content_is_no_file_of_ours(tmp_path: Path) -> None:
    target = tmp_path / "target"
    content = b"x" * len(str(target))  # a link is as long as the name it points to
    target.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    check_file(target, digest, len(content))
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(CorruptionError, match="a regular file"):
        check_file(tmp_path / "link", digest, len(content))
    with pytest.raises(CorruptionError, match=f"{len(content) + 1} bytes"):
        check_file(target, digest, len(content) + 1)
    with pytest.raises(CorruptionError, match="no such file"):
        check_file(tmp_path / "nowhere", digest, 1)


def test_a_checkpoint_sweeps_and_passes_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "deep" / "run" / ".tmp-ffffffff-1-a"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    monkeypatch.setenv("HEADSTART_FAILPOINT", "none")
    before = dict(failpoints.passes)
    write_checkpoint(left.parent, {"w": torch.ones(1)}, {"step": 1})
    assert os.listdir(left.parent) == ["ckpt-000001"]
    points = {"checkpoint-written", "checkpoint-done"}
    assert all(failpoints.passes[point] == before.get(point, 0) + 1 for point in points)
    made = open_directory(left.parent / "ckpt-000001")
    assert made.manifest["kind"] == "checkpoint"
    assert sorted(made.manifest["files"]) == ["state.json", "tensors.safetensors"]
    with pytest.raises(InputError) as caught:
        write_checkpoint(left.parent, {}, {"x": float("nan")})
    assert caught.value.where == "checkpoint"


def test_a_checkpoint_whose_state_is_none_is_passed_over(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"w": torch.ones(1)}, {"step": 1})
    tensors = (tmp_path / "ckpt-000001" / "tensors.safetensors").read_bytes()
    files = {"tensors.safetensors": tensors, "state.json": b"[]"}
    commit_directory(tmp_path, "ckpt-000010", files, {"kind": "checkpoint"})
    (tmp_path / "ckpt-x").mkdir()
    (tmp_path / "ckpt-000009").mkdir()
    found = read_checkpoint(tmp_path)
    assert found is not None and found[1] == {"step": 1}
    write_checkpoint(tmp_path, {"w": torch.ones(1)}, {"step": 2})
    assert sorted(os.listdir(tmp_path)) == ["ckpt-000011", "ckpt-x"]
    (tmp_path / "ckpt-000012").touch()  # no folder: it cannot be removed like one, and stops nothing
    write_checkpoint(tmp_path, {"w": torch.ones(1)}, {"step": 3})
    found = read_checkpoint(tmp_path)
    assert found is not None and found[1] == {"step": 3} and (tmp_path / "ckpt-000013").is_dir()


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise OSError(5, "Input/output error")

    made = commit_directory(tmp_path, None, {"a.json": b"1"}, {})
    monkeypatch.setattr(artifact, "digest_of", refuse)
    with pytest.raises(CorruptionError, match="Input/output error"):
        made.check()
