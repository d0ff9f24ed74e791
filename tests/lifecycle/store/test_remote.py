"""Files at an address: uploaded manifest last, downloaded and checked, forgotten there too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from headstart.errors import CorruptionError, InputError, StoreError
from headstart.lifecycle.store import Store

from .store_drafts import arrival, commit, table


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    url = {"file": f"file://{tmp_path}/files", "memory": "memory://headstart-test"}[request.param]
    yield url
    system, base = fsspec.core.url_to_fs(url)
    if system.exists(base):
        system.rm(base, recursive=True)


def stored(address: str) -> set[str]:
    system, base = fsspec.core.url_to_fs(address)
    return {path.removeprefix(base).lstrip("/") for path in system.find(base)}


def test_a_store_is_read_from_its_address(tmp_path: Path, address: str) -> None:
    store = Store(tmp_path / "s", artifacts=address)
    version = commit(store, 1.0)
    rows = table()
    made = store.add_arrival(arrival(rows))
    names = {"manifest.json", "model.safetensors", "plan.json"}
    assert {f"versions/{version.id}/{name}" for name in names} <= stored(address)
    for folder in (version.path, made.opened().path):
        shutil.rmtree(folder)
    store = Store(tmp_path / "s", artifacts=address)
    assert store.versions() == [version] and store.version(version.id).weights().keys()
    assert store.arrivals()[0].rows().digest() == rows.digest()
    assert commit(store, 1.0) == version and store.verify() == []
    assert not [p for p in store.places.versions.iterdir() if p.name.startswith(".tmp-")]
    store.forget(1)
    assert not [name for name in stored(address) if name.startswith("arrivals/")]
    assert store.add_arrival(arrival(rows)).rows().digest() == rows.digest() and store.verify() == []


def test_damage_at_the_address_is_found(tmp_path: Path, address: str) -> None:
    store = Store(tmp_path / "s", artifacts=address)
    version = commit(store, 1.0)
    system, base = fsspec.core.url_to_fs(address)
    path = f"{base}/versions/{version.id}/plan.json"
    raw = system.cat_file(path)
    system.pipe_file(path, raw.replace(b"1", b"2"))
    assert [p.what for p in store.verify()] == ["a file was changed"]
    shutil.rmtree(version.path)
    with pytest.raises(CorruptionError):
        store.version(version.id)
    assert not list(store.places.versions.iterdir())
    system.pipe_file(path, raw)
    assert store.version(version.id) == version
    shutil.rmtree(version.path)
    system.rm(f"{base}/versions/{version.id}/manifest.json")
    with pytest.raises(StoreError, match="missing"):
        store.version(version.id)


def test_an_upload_that_stops_is_completed_by_the_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"file://{tmp_path}/files"
    store = Store(tmp_path / "s", artifacts=address)
    system = type(fsspec.core.url_to_fs(address)[0])
    real = system.put_file

    def stop(self: object, source: str, target: str, **options: object) -> None:
        if target.endswith("plan.json"):
            raise TimeoutError("the network is gone")
        real(self, source, target, **options)

    monkeypatch.setattr(system, "put_file", stop)
    with pytest.raises(StoreError, match="TimeoutError"):
        commit(store, 1.0)
    assert store.versions() == [] and not [n for n in stored(address) if n.endswith("manifest.json")]
    monkeypatch.undo()
    assert store.versions() == [] and commit(store, 1.0) == store.versions()[0] and store.verify() == []


def test_an_address_that_means_nothing_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", artifacts="nosuch://u:s3cret@x/y")
    with pytest.raises(InputError, match="address") as caught:
        commit(store, 1.0)
    assert "s3cret" not in str(caught.value)
