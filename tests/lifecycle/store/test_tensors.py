"""The form of a file of tensors: what is written once must be readable for good."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.tensors import load_tensors, plain_names, plain_weights, save_tensors


def test_a_file_made_by_hand_is_read(tmp_path: Path) -> None:
    path, values = tmp_path / "t", {"a": torch.arange(3.0), "m": torch.ones(2, dtype=torch.int64)}
    save_file(values, str(path), metadata={"headstart.aliases": json.dumps({"b": "a", "c": "a"})})
    found = load_tensors(path)
    assert set(found) == {"a", "b", "c", "m"} and found["a"] is found["b"] is found["c"]
    assert torch.equal(found["a"], values["a"]) and torch.equal(found["m"], values["m"])
    save_file(values, str(path))  # without any metadata
    assert set(load_tensors(path)) == {"a", "m"}
    save_tensors({"a": values["a"], "b": values["a"]}, path)
    found = load_tensors(path)
    assert found["a"] is found["b"]
    found["a"].add_(1)  # memory of its own, not the file's


def test_ties_are_written_under_the_first_name(tmp_path: Path) -> None:
    one = torch.arange(4.0)
    save_tensors(
        {"z": one, "b": one, "a": torch.ones(1), "y": one.clone(), "e": torch.empty(0)}, tmp_path / "t"
    )
    with safe_open(str(tmp_path / "t"), framework="pt") as opened:
        assert sorted(opened.keys()) == ["a", "b", "e", "y"]
        assert json.loads(opened.metadata()["headstart.aliases"]) == {"z": "b"}


@pytest.mark.parametrize(
    "other",
    [
        torch.arange(6.0).view(2, 3),
        torch.arange(6.0).view(3, 2).t(),
        torch.arange(6.0)[:5],
        torch.arange(6.0).view(torch.int32),
    ],
)
def test_what_shares_memory_without_being_the_same_is_written_whole(
    tmp_path: Path, other: torch.Tensor
) -> None:
    base = other.untyped_storage()
    flat = torch.empty(0).set_(base, 0, (6,), (1,))  # type: ignore[call-overload]
    save_tensors({"a": flat, "b": other}, tmp_path / "t")
    found = load_tensors(tmp_path / "t")
    assert torch.equal(found["a"], flat) and torch.equal(found["b"], other)
    assert (found["b"].shape, found["b"].dtype) == (other.shape, other.dtype)


@pytest.mark.parametrize("aliases", [{"b": "nothing"}, {"a": "a"}, {"a": "m"}])
def test_aliases_that_lead_nowhere_or_hide_a_tensor_are_refused(
    tmp_path: Path, aliases: dict[str, str]
) -> None:
    values = {"a": torch.ones(1), "m": torch.zeros(1)}
    save_file(values, str(tmp_path / "t"), metadata={"headstart.aliases": json.dumps(aliases)})
    with pytest.raises(CorruptionError):
        load_tensors(tmp_path / "t")


def test_what_cannot_be_written_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **named: object) -> None:
        raise SafetensorError("No space left on device")

    with pytest.raises(InputError, match="safetensors does not take"):
        save_tensors({"\udc80": torch.ones(1)}, tmp_path / "t")
    with monkeypatch.context() as patched:
        patched.setattr("headstart.lifecycle.tensors.save_file", full)
        with pytest.raises(StoreError, match=r"cannot be written.*No space"):
            save_tensors({"a": torch.ones(1)}, tmp_path / "t")
    (tmp_path / "cut").write_bytes(struct.pack("<Q", 2) + b"{")
    with pytest.raises(CorruptionError):
        load_tensors(tmp_path / "cut")


def test_names_without_what_wrappers_put_before_them() -> None:
    assert plain_names([]) == {}
    assert plain_names(["module.a", "module.b.module.c"]) == {
        "module.a": "a",
        "module.b.module.c": "b.module.c",
    }
    assert plain_names(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}
    assert plain_names(["_orig_mod.module.a"]) == {"_orig_mod.module.a": "a"}
    one = torch.ones(1)
    assert plain_weights({"module._orig_mod.a": one})["a"] is one
    with pytest.raises(InputError, match=r"got: a, b"):
        plain_names(["a", "_orig_mod.a", "b", "b._orig_mod", "c"])
