"""Folders committed in one step, checked files, tensors, and checkpoints of runs."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle import artifact, durable
from headstart.lifecycle.artifact import (
    commit_directory,
    identity,
    open_directory,
    read_checkpoint,
    write_checkpoint,
)
from headstart.lifecycle.store import Store, VersionDraft
from headstart.lifecycle.tensors import load_tensors, plain_names, plain_weights, save_tensors


def tensors(path: Path, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    save_tensors(values, path)
    return load_tensors(path)


def test_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    kinds = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64]
    values = {str(kind): base.to(kind) for kind in kinds}
    values |= {"t": base.t(), "part": base[1:, ::2], "empty": torch.empty(0, 5), "scalar": torch.tensor(3.0)}
    values |= {"special": torch.tensor([float("nan"), float("inf"), -0.0])}
    found = tensors(tmp_path / "t", values)
    assert found.keys() == values.keys()
    for name, value in values.items():
        got, want = found[name], value.contiguous()
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        assert got.reshape(-1).view(torch.uint8).equal(want.reshape(-1).view(torch.uint8)), name


def test_tied_tensors_are_written_once_and_tied_again(tmp_path: Path) -> None:
    big = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    found = tensors(tmp_path / "t", {"b": big, "a": big, "half": big[:32], "c": big.clone()})
    assert found["a"] is found["b"] and found["a"] is not found["c"]
    assert torch.equal(found["half"], big[:32]) and torch.equal(found["b"], big)
    assert (tmp_path / "t").stat().st_size < 3 * big.numel() * 4
    save_tensors({"c": big.clone(), "half": big[:32], "a": big, "b": big}, tmp_path / "other")
    assert (tmp_path / "t").read_bytes() == (tmp_path / "other").read_bytes()


def test_what_wrappers_put_before_names_is_stripped() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    plain = set(model.state_dict())
    compiled = {f"_orig_mod.{name}" for name in plain}
    inner = {name.replace("0.", "0._orig_mod.") for name in plain}
    for wrapped in (
        compiled,
        inner,
        {f"module.{n}" for n in compiled},
        {f"_orig_mod.module.{n}" for n in plain},
    ):
        assert set(plain_names(sorted(wrapped)).values()) == plain
    averaged = {"n_averaged": torch.ones(1), "module.w": torch.ones(1)}
    assert set(plain_weights(averaged)) == set(averaged)  # no wrapper: one name has no prefix
    with pytest.raises(InputError, match="same name"):
        plain_names(["a._orig_mod.b", "a.b"])


@pytest.mark.parametrize("value", [torch.eye(2).to_sparse(), torch.empty(2, device="meta"), 1.0])
def test_what_is_no_dense_tensor_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match="dense"):
        save_tensors({"a": value}, tmp_path / "t")


def test_committing_again_changes_nothing_and_other_content_is_refused(tmp_path: Path) -> None:
    first = commit_directory(tmp_path, "x", {"a.json": b"1"}, {"note": (1, 2)})
    stamp = (tmp_path / "x" / "a.json").stat()
    assert commit_directory(tmp_path, "x", {"a.json": b"1"}, {"note": (1, 2)}).path == first.path
    after = (tmp_path / "x" / "a.json").stat()
    assert (stamp.st_ino, stamp.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    with pytest.raises(StoreError, match="another content"):
        commit_directory(tmp_path, "x", {"a.json": b"2"}, {"note": (1, 2)})
    (tmp_path / "x" / "a.json").write_bytes(b"3")
    with pytest.raises(CorruptionError):
        commit_directory(tmp_path, "x", {"a.json": b"1"}, {"note": (1, 2)})
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_every_file_is_on_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that a power cut cannot break: content, folder, rename, parent."""
    steps: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real_sync(descriptor)

    def rename(source: Path, target: Path) -> None:
        steps.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    commit_directory(tmp_path, "x", {"a": b"1", "b": lambda path: path.write_bytes(b"2") and None}, {})
    folder = steps[3]
    assert folder.startswith(".tmp-")
    assert steps == ["a", "b", "manifest.json", folder, "rename", tmp_path.name]
    steps.clear()
    commit_directory(tmp_path, "x", {"a": b"1", "b": b"2"}, {})
    assert steps[-1] == tmp_path.name  # who made it may have been killed before it was durable


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="free some space"):
        commit_directory(tmp_path, None, {"a": b"1", "b": fail}, {})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    good = store.commit_version(VersionDraft(weights={"a": torch.ones(4)}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = VersionDraft(weights={"a": torch.ones(1_000_000)})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
        with pytest.raises(StoreError):
            store.commit_version(big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in store.places.versions.iterdir()] == [good.id]
    assert store.verify() == [] and store.versions() == [good]
    assert store.commit_version(big).weights()["a"].sum() == 1_000_000


def test_a_manifest_too_large_or_too_new_or_linked_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    with open(file, "wb") as sparse:
        sparse.truncate(16 * 2**20 + 1)
    with pytest.raises(CorruptionError, match="at most"):
        open_directory(tmp_path)
    file.write_text(json.dumps({"format": 2, "files": {}}))
    with pytest.raises(StoreError, match="newer"):
        open_directory(tmp_path)
    file.rename(tmp_path / "real.json")
    file.symlink_to(tmp_path / "real.json")
    with pytest.raises(CorruptionError, match="regular"):
        open_directory(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(CorruptionError, match="no such folder"):
        open_directory(link)


def test_the_identity_covers_the_whole_manifest(tmp_path: Path) -> None:
    opened = commit_directory(tmp_path, None, {"a": b"1"}, {"parents": ["x"]})
    assert opened.path.name == identity(opened.manifest)
    assert open_directory(opened.path, opened.path.name).manifest == opened.manifest
    file = opened.path / "manifest.json"
    file.write_text(json.dumps({**opened.manifest, "parents": ["y"]}))
    with pytest.raises(CorruptionError, match="identity"):
        open_directory(opened.path, opened.path.name)


def test_files_are_checked_once_always_or_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = commit_directory(tmp_path, None, {"a.json": b"[1]"}, {})
    path = opened.file("a.json")
    stamp = path.stat()
    path.write_bytes(b"[2]")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # looks untouched
    assert opened.json("a") == [2]
    monkeypatch.setenv("HEADSTART_VERIFY", "always")
    with pytest.raises(CorruptionError, match="sha256"):
        opened.json("a")
    monkeypatch.setenv("HEADSTART_VERIFY", "never")
    path.write_bytes(b"[3]")
    assert opened.json("a") == [3]
    path.write_bytes(b"[3}")
    with pytest.raises(CorruptionError, match="JSON"):
        opened.json("a")
    monkeypatch.delenv("HEADSTART_VERIFY")
    path.write_bytes(b"[4]")  # another time stamp: looked at again
    with pytest.raises(CorruptionError, match="sha256"):
        opened.json("a")
    monkeypatch.setenv("HEADSTART_VERIFY", "sometimes")
    with pytest.raises(InputError, match="HEADSTART_VERIFY"):
        opened.json("a")
    with pytest.raises(StoreError, match="no such file"):
        opened.file("b")


def checkpoint(folder: Path, step: int) -> None:
    write_checkpoint(folder, {"model/_orig_mod.w": torch.full((4,), float(step))}, {"step": step})


def test_a_checkpoint_is_replaced_only_by_a_durable_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert read_checkpoint(folder) is None
    for step in range(3):
        checkpoint(folder, step)
    assert [p.name for p in folder.iterdir()] == ["ckpt-000003"]
    found = read_checkpoint(folder)
    assert found is not None and found[1] == {"step": 2}
    assert list(found[0]) == ["model/_orig_mod.w"] and found[0]["model/_orig_mod.w"][0] == 2
    with pytest.raises(InputError):
        write_checkpoint(folder, {}, {"x": float("nan")})
    assert read_checkpoint(folder) is not None


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, file: str, damage: str) -> None:
    checkpoint(tmp_path, 1)
    shutil.copytree(tmp_path / "ckpt-000001", tmp_path / "old")
    checkpoint(tmp_path, 2)
    (tmp_path / "old").rename(tmp_path / "ckpt-000001")
    found = read_checkpoint(tmp_path)
    assert found is not None and found[1]["step"] == 2
    path = tmp_path / "ckpt-000002" / file
    raw = bytearray(path.read_bytes())
    path.unlink()
    if damage != "gone":
        at = raw.index(b"sha256") + 12 if file == "manifest.json" else len(raw) // 2
        raw[at] ^= 1
        path.write_bytes(bytes(raw) if damage == "flip" else bytes(raw[: len(raw) // 2]))
    found = read_checkpoint(tmp_path)
    assert found is not None and found[1]["step"] == 1
    checkpoint(tmp_path, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["ckpt-000003"]


def test_only_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    mine = durable.temporary_name()
    machine = mine.split("-")[1]
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)  # this id belonged to a process of ours, which is gone
    dead, foreign, old = f".tmp-{machine}-{pid}-a", f".tmp-ffffffff-{os.getpid()}-a", f".tmp-ffffffff-{pid}-b"
    for name in (mine, dead, foreign, old, "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
    for path in (tmp_path / old / "file", tmp_path / old, tmp_path / mine / "file", tmp_path / mine):
        os.utime(path, (0, 0))
    os.utime(tmp_path / foreign, (0, 0))  # an old folder, but its file is being written
    durable.sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {mine, foreign, "kept"}
    durable.sweep(tmp_path / "nowhere")


def test_a_random_flip_is_never_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bit of every file of a version: found, or without any effect."""
    monkeypatch.setenv("HEADSTART_VERIFY", "always")
    store = Store(tmp_path / "s")
    parent = store.commit_version(VersionDraft(weights={"a": torch.ones(2)}))
    draft = VersionDraft(
        weights={"a": torch.arange(5.0)}, parents=(parent.id,), documents={"plan": {"lr": 0.1}}
    )
    version = store.commit_version(draft)

    def content() -> object:
        now = store.version(version.id)
        return now.manifest, now.parents, now.weights()["a"].tolist(), now.document("plan")

    whole, silent, harmless = content(), [], 0
    random = torch.Generator().manual_seed(0)
    for name in ("model.safetensors", "plan.json", "manifest.json"):
        path = version.path / name
        raw = path.read_bytes()
        for bit in torch.randint(8 * len(raw), (60,), generator=random).tolist():
            broken = bytearray(raw)
            broken[bit // 8] ^= 1 << bit % 8
            path.write_bytes(broken)
            with contextlib.suppress(StoreError):
                if content() == whole:
                    harmless += 1
                else:
                    silent.append((name, bit))
        path.write_bytes(raw)
    assert silent == [] and harmless < 10 and content() == whole


def test_manifests_of_equal_content_are_equal_bytes(tmp_path: Path) -> None:
    made = [commit_directory(tmp_path, n, {"b": b"2", "a": b"1"}, {"kind": "k"}).path for n in ("x", "y")]
    assert len({(path / artifact.MANIFEST).read_bytes() for path in made}) == 1


def test_weights_are_for_whoever_may_read_other_files_there(tmp_path: Path) -> None:
    save_tensors({"a": torch.ones(2)}, tmp_path / "t")
    (tmp_path / "plain").touch()
    assert (tmp_path / "t").stat().st_mode == (tmp_path / "plain").stat().st_mode
