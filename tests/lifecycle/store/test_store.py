"""The store's face: versions, lineage, promotion, rollback, the log and the evidence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.lineage import champions, replay, trunk
from headstart.lifecycle.store import Event, Store, VersionDraft

from .store_drafts import commit, weights


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s")


def test_a_version_comes_back_as_it_was_committed(store: Store) -> None:
    first = commit(store, 1.0)
    draft = VersionDraft(
        weights=weights(2.0),
        parents=(first.id,),
        documents={"plan": {"b": [1, None, "é"], "a": 0.5}},
        extra_weights={"trunk": weights(3.0)},
    )
    made = store.commit_version(draft)
    found = Store(store.root).version(made.id[:6])
    assert found == made and found.parents == (first.id,) and set(found.parts) == {"model", "trunk"}
    assert torch.equal(found.weights()["layer.weight"], torch.full((3, 2), 2.0))
    assert torch.equal(found.weights("trunk")["layer.bias"], torch.arange(3.0) + 3)
    assert found.document("plan") == draft.documents["plan"]
    assert list(found.document("plan")) == ["b", "a"]  # the order of columns matters to a model
    assert [v.id for v in store.versions()] == [first.id, made.id] == store.version_ids()
    assert set(found.manifest) == {"format", "kind", "parents", "code", "files"}
    assert store.verify() == []


def test_the_id_is_a_function_of_the_content(store: Store, tmp_path: Path) -> None:
    made = commit(store, 1.0)
    assert commit(store, 1.0) == made and len(store.versions()) == 1
    other = Store(tmp_path / "other")
    shuffled = dict(reversed(weights(1.0).items()))
    again = other.commit_version(VersionDraft(weights=shuffled, documents={"plan": {"lr": 1.0}}))
    assert again.id == made.id
    assert commit(store, 1.5).id != made.id
    assert commit(store, 1.0, made.id).id != made.id


def test_a_commit_that_cannot_be_is_refused_and_leaves_nothing(store: Store) -> None:
    good = weights()
    refused: dict[str, dict[str, Any]] = {
        "no version has this id": {"weights": good, "parents": ("feed",)},
        "not safe": {"weights": good, "documents": {"../out": 1}},
        "manifest.json": {"weights": good, "documents": {"manifest": 1}},
        "written as JSON": {"weights": good, "documents": {"plan": float("nan")}},
        "given twice": {"weights": good, "extra_weights": {"model": good}},
        "dense": {"weights": {"a": torch.eye(2).to_sparse()}},
        "same name": {"weights": {"_orig_mod.a": torch.ones(1), "a": torch.zeros(1)}},
    }
    for words, fields in refused.items():
        with pytest.raises(InputError, match=words):
            store.commit_version(VersionDraft(**fields))
    assert store.versions() == [] and not list(store.places.versions.iterdir())
    assert not (store.root / "out.json").exists()


def test_promotion_is_a_compare_and_set(store: Store) -> None:
    a, b = commit(store, 1.0), commit(store, 2.0)
    assert store.champion() is None
    event = store.promote(a.id, expected=None, reason="first", verdict={"table": (1, 2)})
    assert (event.version, event.previous) == (a.id, None) and store.champion() == a
    for wrong in (None, b.id):
        with pytest.raises(StoreError, match="another one by now"):
            store.promote(b.id, expected=wrong, reason="late")
    assert store.champion() == a and len(store.log()) == 1
    store.promote(b.id[:8], expected=a.id, reason="better")
    assert [(e.kind, e.version, e.previous) for e in store.log()] == [
        ("promote", a.id, None),
        ("promote", b.id, a.id),
    ]
    assert store.log()[0] == event and event.payload == {"verdict": {"table": [1, 2]}}
    assert replay(store) == b.id


def test_what_is_no_json_moves_no_champion(store: Store) -> None:
    a = commit(store, 1.0)
    with pytest.raises(InputError, match="JSON"):
        store.promote(a.id, expected=None, reason="r", verdict={"p": float("inf")})
    with pytest.raises(InputError, match="JSON"):
        store.promote(a.id, expected=None, reason="\udc80")
    assert store.champion() is None and store.log() == []


def test_rollback_walks_back_through_the_champions(store: Store) -> None:
    a, b, c = (commit(store, float(i)) for i in range(3))
    with pytest.raises(InputError, match="no earlier champion"):
        store.rollback()
    for version, before in ((a, None), (b, a), (a, b), (c, a)):
        store.promote(version.id, expected=before and before.id, reason="")
    assert store.rollback(reason="bad").id == a.id
    assert store.rollback().id == b.id
    assert store.rollback().id == a.id
    with pytest.raises(InputError, match="no earlier champion"):
        store.rollback()
    with pytest.raises(InputError, match="already"):
        store.rollback(a.id)
    d = commit(store, 9.0)
    assert store.rollback(d.id) == d and store.rollback().id == a.id  # never promoted: comes on top
    assert [e.reason for e in store.log() if e.kind == "rollback"][:2] == ["bad", "by hand"]
    assert store.verify() == []


def test_a_damaged_version_is_not_rolled_back_to(store: Store) -> None:
    a, b = commit(store, 1.0), commit(store, 2.0)
    store.promote(a.id, expected=None, reason="")
    store.promote(b.id, expected=a.id, reason="")
    (a.path / "plan.json").write_bytes(b"{}")
    with pytest.raises(CorruptionError) as caught:
        store.rollback()
    assert caught.value.last_good == b.id and store.champion_id() == b.id


def test_champions_are_the_line_that_led_here() -> None:
    def line(*moves: str) -> list[str]:
        kinds = {"+": "promote", "-": "rollback", "=": "hold"}
        return champions([Event(0, kinds[m[0]], m[1], None, "", {}, 0.0) for m in moves])

    assert line() == []
    assert line("+a", "=b", "+c") == ["a", "c"]
    assert line("+a", "+b", "+a", "+c", "-a") == ["a", "b", "a"]
    assert line("+a", "+b", "+c", "-a") == ["a"]
    assert line("+a", "-x") == ["a", "x"]


def test_notes_are_logged_and_lead_the_trunk(store: Store) -> None:
    a, b, c = (commit(store, float(i)) for i in range(3))
    store.promote(a.id, expected=None, reason="")
    store.note("hold", b.id, reason="too few", payload={"n": 3})
    store.note("reject", c.id, reason="worse")
    assert [e.kind for e in store.log()] == ["promote", "hold", "reject"]
    assert trunk(store) == b.id and replay(store) == a.id == store.champion_id()
    with pytest.raises(InputError, match="cannot move"):
        store.note("promote", b.id, reason="")
    with pytest.raises(InputError, match="no version"):
        store.note("hold", "feed", reason="")


def test_a_version_is_named_by_what_only_it_begins_with(store: Store) -> None:
    versions = [commit(store, float(i)) for i in range(17)]  # two of them share the first of 16 digits
    firsts = [version.id[0] for version in versions]
    first = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(InputError, match="several"):
        store.version(first)
    for wrong in ("", "zz", versions[0].id + "0"):
        with pytest.raises(InputError, match="no version"):
            store.version(wrong)


def test_evidence_is_written_once(store: Store) -> None:
    store.record("done", "b", {"x": 1.5})
    store.record("done", "a", {"y": (1,)})
    store.record("done", "b", {"x": 1.5})
    store.record("other", "b", {"x": 2})
    with pytest.raises(StoreError, match="other evidence"):
        store.record("done", "b", {"x": 2})
    with pytest.raises(InputError, match="JSON"):
        store.record("done", "c", {"x": float("nan")})
    assert store.records("done") == [("b", {"x": 1.5}), ("a", {"y": [1]})]


def test_a_run_has_a_folder_inside_the_store(store: Store) -> None:
    assert store.run_folder("r-1.a") == store.root / "runs" / "r-1.a" == store.run_folder("r-1.a")
    assert not store.run_folder("r-1.a").exists()  # looking leaves no trace
    for wrong in ("", "..", "../x", "/x", "a/b", "a\n", "x" * 200):
        with pytest.raises(InputError, match="name of a run"):
            store.run_folder(wrong)


class Tied(nn.Module):
    """A model with tied weights, inside a part called ``module`` as some users' are."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
        self.module["b"].weight = self.module["a"].weight


class Builds:
    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def build(self, schema: object) -> nn.Module:
        return self.model


SCHEMA: dict[str, Any] = {"columns": {}, "target": {}, "encoding": {}}


def test_a_model_is_loaded_with_its_ties(store: Store) -> None:
    source = Tied()
    draft = VersionDraft(weights=source.state_dict(), documents={"schema": SCHEMA})
    version = store.commit_version(draft)
    assert "b.weight" in version.weights()
    loaded = version.load(Builds(Tied()))  # type: ignore[arg-type]
    assert not loaded.training
    for (name, mine), (_, theirs) in zip(
        source.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert torch.equal(mine, theirs), name
    assert loaded.module["a"].weight is loaded.module["b"].weight  # type: ignore[index,union-attr]
    with pytest.raises(InputError, match="does not fit"):
        version.load(Builds(nn.Linear(3, 3)))  # type: ignore[arg-type]


def test_what_is_handed_out_cannot_be_changed(store: Store) -> None:
    version = commit(store, 1.0)
    event = store.promote(version.id, expected=None, reason="r")
    with pytest.raises(dataclasses.FrozenInstanceError):
        version.id = "x"  # type: ignore[misc]
    assert set(event.to_dict()) == {f.name for f in dataclasses.fields(Event)}
    version.weights()["layer.bias"].fill_(7)
    assert version.weights()["layer.bias"][0] == 1.0
