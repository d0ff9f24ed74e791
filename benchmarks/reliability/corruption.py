"""R3: what is stored is changed behind the store's back, and nothing wrong is ever read as if it were right.

Each case changes one thing in a copy of a store with versions, arrivals, memory, decisions and evidence:
bits, lengths, names, whole files, manifests (with digests made to fit), folders, rows, pages of the
database. Then everything is read. Either every value is what was written (the change was harmless), or a
store error says so and ``verify`` lists it; where content differs from its digest, the error names the
file, what was expected and found, and the newest version that still verifies.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability import _victims
from benchmarks.reliability._campaign import Outcome, Setting, Tally, paced
from benchmarks.reliability._victims import weights_digest
from headstart.errors import CorruptionError, HeadstartError
from headstart.lifecycle.artifact import MANIFEST, identity, manifest_for
from headstart.lifecycle.store import Store

FIGURES = ("R3",)
DATABASE = "store.db"


def run(setting: Setting) -> list[Outcome]:
    """The figure."""
    os.environ["HEADSTART_VERIFY"] = "always"
    try:
        return [_run(setting)]
    finally:
        del os.environ["HEADSTART_VERIFY"]


def _run(setting: Setting) -> Outcome:
    whole = Whole(setting.folder)
    draw, tally, ends = random.Random(setting.seed), Tally(), Counter[str]()
    kinds = [kind for kind, weight in KINDS.items() for _ in range(weight)]
    cases = [
        draw.choice(kinds) if setting.full else kinds[n % len(kinds)]
        for n in range(setting.size(10_500, 150))
    ]
    for kind in paced(cases, setting.say, "mutations"):
        end, problem = whole.case(kind, draw)
        ends[end] += 1
        tally.case(kind.__name__.strip("_").replace("_", " "), problem)
    return Outcome(
        figure="R3",
        promise="a change of stored content is found when it is read, or has no effect",
        cases=tally.total,
        violations=len(tally.broken),
        bar="10,000 changes, all found or harmless; errors name file, digests and the last good version",
        met=not tally.broken and tally.total >= 10_000,
        counts={**dict(ends), **tally.cases},
        notes=(
            "a flip in space that the database does not use, or in a file that is no content, is harmless",
        ),
        examples=tuple(tally.broken),
    )


class Whole:
    """A store, its pristine bytes and all that it says."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        for seed in (1, 3):  # two lines of work; odd seeds keep a memory of forgotten arrivals
            _victims.prepare("update", self.root, seed)
            _victims.work("update", self.root, seed)
        _victims.work("store", self.root, 0)
        self._settle()
        self.pristine = folder / "pristine"
        shutil.copytree(self.root, self.pristine)
        self.files = {p.relative_to(self.root): p.read_bytes() for p in self._paths(self.root)}
        self.content = read_all(self.root)
        self.good = {id for id, *_ in self.content["versions"]}

    def case(
        self, kind: Callable[[Path, random.Random], object], draw: random.Random
    ) -> tuple[str, str | None]:
        """Changes the store, reads it and puts it back: how it ended, and how the promise was broken."""
        kind(self.root, draw)
        try:
            return self._judge()
        except Exception as error:  # anything else than an error of ours is a finding
            return "crash", f"{type(error).__name__}: {error}"
        finally:
            self._restore()

    def _judge(self) -> tuple[str, str | None]:
        found: object = None
        try:
            found = read_all(self.root)
        except CorruptionError as error:
            unnamed = not (error.file and error.expected and error.found)
            if unnamed or (error.last_good is not None and error.last_good not in self.good):
                return "found", f"an error without its parts: {error.to_dict()}"
        except HeadstartError as error:
            if not all(error.to_dict().values()):
                return "found", f"an error without its parts: {error.to_dict()}"
        try:
            with contextlib.closing(Store(self.root)) as store:
                listed = store.verify()
        except HeadstartError:
            return (
                ("refused whole", None) if found is None else ("refused whole", "read, but it does not open")
            )
        if found is None:
            return "found", None if listed else "an error when read, but verify() lists nothing"
        if found != self.content:
            parts = [name for name, value in self.content.items() if found[name] != value]  # type: ignore[index]
            return "silent", f"other {parts} were read; verify() lists {len(listed)}"
        return ("listed" if listed else "harmless"), None

    def _settle(self) -> None:
        """All of the database in one file."""
        gc.collect()  # stores that nobody closed keep their connections until then
        with sqlite3.connect(self.root / DATABASE) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        for name in ("-wal", "-shm"):
            (self.root / f"{DATABASE}{name}").unlink(missing_ok=True)

    def _restore(self) -> None:
        for path in self.root.rglob("*"):
            known = path.relative_to(self.root)
            if known not in self.files and (path.is_symlink() or not path.is_dir()):
                path.unlink()
        for known, raw in self.files.items():
            path = self.root / known
            if path.is_symlink() or not path.is_file() or path.read_bytes() != raw:
                _remove(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(raw)
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_dir() and not (self.pristine / path.relative_to(self.root)).exists():
                path.rmdir()
        for path in self.pristine.rglob("*"):
            if path.is_dir():
                (self.root / path.relative_to(self.pristine)).mkdir(exist_ok=True)

    @staticmethod
    def _paths(root: Path) -> list[Path]:
        return sorted(p for p in root.rglob("*") if p.is_file())


def read_all(root: Path) -> dict[str, Any]:
    """Every value a store hands out, read from its files."""
    store = Store(root)
    try:
        return {
            "versions": [
                (
                    v.id,
                    v.parents,
                    {p: weights_digest(v.weights(p)) for p in v.parts},
                    _documents(v),
                )
                for v in store.versions()
            ],
            "log": [event.to_dict() for event in store.log()],
            "champion": store.champion_id(),
            "arrivals": [
                (a.index, a.digest, a.count, dict(a.counts), a.kept, dict(a.note))
                + ((a.rows().digest(), a.sides().tolist()) if a.kept else ())
                for a in store.arrivals()
            ],
            "records": {kind: store.records(kind) for kind in ("run", "done", "memory", "seen")},
            "memory": [_memory(store, payload["folder"]) for _, payload in store.records("memory")],
        }
    finally:
        store.close()


def _documents(version: Any) -> dict[str, Any]:
    names = [n.removesuffix(".json") for n in version.manifest["files"] if n.endswith(".json")]
    return {name: version.document(name) for name in names}


def _memory(store: Store, folder: str) -> str:
    from headstart.lifecycle.memory import _load

    pool = _load(store, folder)
    return pool.rows.digest() + str(pool.sides.tolist()) + str(pool.arrivals.tolist())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


# --------------------------------------------------------------------------------------------- changes


def _content_files(root: Path) -> list[Path]:
    """Files of committed folders."""
    folders = ("versions", "arrivals", "memory")
    return sorted(p for name in folders for p in (root / name).rglob("*") if p.is_file())


def _any_file(root: Path, draw: random.Random) -> Path:
    return draw.choice(_content_files(root))


def flipped_bit(root: Path, draw: random.Random) -> None:
    """One bit of a file."""
    path = _any_file(root, draw)
    raw = bytearray(path.read_bytes())
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)


def flipped_bit_that_looks_untouched(root: Path, draw: random.Random) -> None:
    """One bit, with the time stamp put back."""
    path = _any_file(root, draw)
    stamp, raw = path.stat(), bytearray(path.read_bytes())
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def overwritten_run(root: Path, draw: random.Random) -> None:
    """A run of bytes, zeros or noise: what a bad sector gives."""
    path = _any_file(root, draw)
    raw = bytearray(path.read_bytes())
    begin, length = draw.randrange(len(raw)), draw.choice((2, 16, 512, 4096))
    end = min(len(raw), begin + length)
    raw[begin:end] = bytes(end - begin) if draw.random() < 0.5 else draw.randbytes(end - begin)
    path.write_bytes(raw)


def cut_file(root: Path, draw: random.Random) -> None:
    """A file that lost its end, or all of it."""
    path = _any_file(root, draw)
    os.truncate(path, draw.randrange(path.stat().st_size))


def longer_file(root: Path, draw: random.Random) -> None:
    """A file with something after its end."""
    path = _any_file(root, draw)
    path.write_bytes(path.read_bytes() + draw.choice((b" ", b"\0", draw.randbytes(draw.randint(1, 600)))))


def swapped_files(root: Path, draw: random.Random) -> None:
    """Two files of the same kind exchanged."""
    first = _any_file(root, draw)
    others = [p for p in _content_files(root) if p.suffix == first.suffix and p != first]
    second = draw.choice(others)
    ours, theirs = first.read_bytes(), second.read_bytes()
    first.write_bytes(theirs)
    second.write_bytes(ours)


def swapped_folders(root: Path, draw: random.Random) -> None:
    """Two versions, or two arrivals, under each other's name."""
    parents = [root / name for name in ("versions", "arrivals") if len(list((root / name).iterdir())) > 1]
    first, second = draw.sample(sorted(draw.choice(parents).iterdir()), 2)
    aside = first.parent / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def missing_file(root: Path, draw: random.Random) -> None:
    """A file that is gone."""
    _any_file(root, draw).unlink()


def missing_folder(root: Path, draw: random.Random) -> None:
    """A whole version, arrival or memory that is gone."""
    shutil.rmtree(_any_file(root, draw).parent)


def foreign_file(root: Path, draw: random.Random) -> None:
    """A file that nobody committed."""
    parent = draw.choice([_any_file(root, draw).parent, root / "versions", root / "arrivals"])
    (parent / draw.choice(("model.bin", "notes.txt", "x.safetensors", ".hidden"))).write_bytes(
        draw.randbytes(9)
    )


def foreign_folder(root: Path, draw: random.Random) -> None:
    """A folder that nobody committed, or that was committed elsewhere under another name."""
    parent = draw.choice([root / "versions", root / "arrivals"])
    name = f"{draw.getrandbits(64):016x}"
    if draw.random() < 0.5:
        (parent / name).mkdir()
    else:
        shutil.copytree(_any_file(root, draw).parent, parent / name)


def linked_file(root: Path, draw: random.Random) -> None:
    """A link in place of a file, to the same content elsewhere."""
    path = _any_file(root, draw)
    target = root / "report" / path.name
    target.parent.mkdir(exist_ok=True)
    path.rename(target)
    path.symlink_to(target)


def changed_manifest(root: Path, draw: random.Random) -> None:
    """One value of a manifest changed."""
    path = draw.choice([p for p in _content_files(root) if p.name == MANIFEST])
    path.write_text(json.dumps(_changed(json.loads(path.read_text()), draw)))


def forged_content(root: Path, draw: random.Random) -> None:
    """A file changed and the manifest made to fit: only the folder's own name tells."""
    path = draw.choice([p for p in _content_files(root) if p.name != MANIFEST])
    raw = bytearray(path.read_bytes())
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)
    manifest = json.loads((path.parent / MANIFEST).read_text())
    head = {k: v for k, v in manifest.items() if k not in ("format", "files")}
    made = manifest_for(path.parent, list(manifest["files"]), head)
    (path.parent / MANIFEST).write_text(json.dumps(made))


def wrong_parent(root: Path, draw: random.Random) -> None:
    """A version said to come from another one: in its manifest, in its row, or in both."""
    ids = sorted(p.name for p in (root / "versions").iterdir())
    id, parent = draw.sample(ids, 2)
    where = draw.choice(("manifest", "row", "both"))
    manifest = json.loads((root / "versions" / id / MANIFEST).read_text())
    parents = draw.choice([[parent], [], [*manifest["parents"], parent], ["f" * 16]])
    if parents == manifest["parents"]:
        parents = ["0" * 16]
    if where != "row":
        (root / "versions" / id / MANIFEST).write_text(json.dumps({**manifest, "parents": parents}))
    if where != "manifest":
        _sql(root, "update versions set parents = ? where id = ?", json.dumps(parents), id)


def version_with_another_name(root: Path, draw: random.Random) -> None:
    """Manifest, folder and row agree on a new id: parents and decisions still name the old one."""
    id = draw.choice(sorted(p.name for p in (root / "versions").iterdir()))
    path = root / "versions" / id / MANIFEST
    manifest = {**json.loads(path.read_text()), "code": "headstart 0.0.0"}
    path.write_text(json.dumps(manifest))
    path.parent.rename(root / "versions" / identity(manifest))
    _sql(root, "update versions set id = ? where id = ?", identity(manifest), id)


def changed_row(root: Path, draw: random.Random) -> None:
    """A value of the database changed by hand."""
    table, column = draw.choice(
        [("aliases", "version"), *((t, c) for t, columns in COLUMNS.items() for c in columns)]
    )
    value: object = draw.choice(("x", "", "0" * 16, 0, 1, 7.5, "[]", "{}", "null", b"\xff\xfe", "../../x"))
    rows = _sql(root, f"select rowid, {column} from {table}")
    number, known = draw.choice(rows)
    if value == known:
        value = "changed"
    with contextlib.suppress(sqlite3.IntegrityError):  # the database itself refuses it
        _sql(root, f"update or replace {table} set {column} = ? where rowid = ?", value, number)


def missing_row(root: Path, draw: random.Random) -> None:
    """A row that is gone; the last one of a table is not missed, as no number follows it."""
    table = draw.choice(list(COLUMNS))
    last = _sql(root, f"select max(number) from {table}")[0][0]
    if last > 1:
        _sql(root, f"delete from {table} where number = ?", draw.randrange(1, last))


def flipped_bit_of_the_database(root: Path, draw: random.Random) -> None:
    """One bit of the database's file."""
    path = root / DATABASE
    raw = bytearray(path.read_bytes())
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)


def overwritten_page_of_the_database(root: Path, draw: random.Random) -> None:
    """A stretch of the database's file, zeros or noise."""
    path = root / DATABASE
    raw = bytearray(path.read_bytes())
    begin = draw.randrange(0, len(raw), 512)
    raw[begin : begin + 512] = bytes(512) if draw.random() < 0.5 else draw.randbytes(512)
    path.write_bytes(raw)


def cut_database(root: Path, draw: random.Random) -> None:
    """The database's file without its end."""
    path = root / DATABASE
    os.truncate(path, draw.randrange(1, path.stat().st_size))


COLUMNS = {
    "versions": ("number", "id", "parents", "created", "seal"),
    "arrivals": ("number", "digest", "folder", "kept", "summary", "created", "seal"),
    "events": ("number", "kind", "version", "previous", "reason", "payload", "created", "seal"),
    "records": ("number", "kind", "key", "payload", "created", "seal"),
}
# Each change and its share of the cases.
KINDS: dict[Callable[[Path, random.Random], object], int] = {
    flipped_bit: 20,
    flipped_bit_that_looks_untouched: 8,
    overwritten_run: 8,
    cut_file: 8,
    longer_file: 4,
    swapped_files: 6,
    swapped_folders: 2,
    missing_file: 3,
    missing_folder: 2,
    foreign_file: 2,
    foreign_folder: 2,
    linked_file: 2,
    changed_manifest: 8,
    forged_content: 4,
    wrong_parent: 3,
    version_with_another_name: 1,
    changed_row: 10,
    missing_row: 2,
    flipped_bit_of_the_database: 14,
    overwritten_page_of_the_database: 4,
    cut_database: 2,
}


def _sql(root: Path, statement: str, *values: object) -> list[Any]:
    with contextlib.closing(sqlite3.connect(root / DATABASE)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def _changed(value: Any, draw: random.Random) -> Any:
    """A JSON value with one value in it changed."""
    if isinstance(value, dict) and value:
        key = draw.choice(list(value))
        return {k: _changed(v, draw) if k == key else v for k, v in value.items()}
    if isinstance(value, list) and value:
        index = draw.randrange(len(value))
        return [_changed(v, draw) if i == index else v for i, v in enumerate(value)]
    others = [None, True, -1, 2**70, 0.5, "x", "../x", [], {}, [[]], {"a": 1}, f"{value}0"]
    return draw.choice([other for other in others if other != value])
