"""Work on a store when space, inodes or rights run out; a process of its own that forks for each trial.

``python -m benchmarks.reliability._scarce FOLDER`` reads trials from standard input, one JSON object a
line, and answers each with one line. A trial has: a ``condition`` with what that needs, an ``action``, the
``size`` of what it writes, whether the store is ``held`` open before, and ``verbs`` for the command line.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner

from benchmarks.reliability import _conditions as conditions
from headstart.cli import main as headstart
from headstart.errors import CorruptionError, StoreError
from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.notes import Notes
from headstart.lifecycle.store import ArrivalDraft, Store, VersionDraft

__all__ = ["ACTIONS", "NOT_PERMITTED"]

NOT_PERMITTED = "not permitted"
CONFIG = """
store = "unused"
starts = ["warm", "scratch"]
fractions = [0.6, 0.2, 0.2]
retention = "replay:20"
[task]
kind = "tabular-classification"
target = "label"
hidden = [4]
[budget]
steps = 30
[train]
checkpoint_every = 10
"""


# ------------------------------------------------------------------------------------------- actions


def _commit(store: Store, size: int) -> None:
    weights = {"w": torch.arange(size // 4, dtype=torch.float32)}
    store.commit_version(VersionDraft(weights=weights, documents={"plan": {"size": size}}))


def _committed(store: Store, size: int) -> bool:
    version = store.versions()[-1]
    return version.document("plan") == {"size": size} and version.weights()["w"].numel() == size // 4


def _rows(size: int) -> Rows:
    return Rows({"x": np.arange(max(1, size // 8), dtype=np.float64) + size}, "made")


def _arrive(store: Store, size: int) -> None:
    rows = _rows(size)
    sides = np.arange(len(rows), dtype=np.int8) % 3
    store.add_arrival(ArrivalDraft(rows=rows, digest=rows.digest(), sides=sides))


def _arrived(store: Store, size: int) -> bool:
    return store.arrivals()[-1].rows().digest() == _rows(size).digest()


def _save(store: Store, size: int) -> None:
    write_checkpoint(store.run_folder("r"), {"w": torch.zeros(size // 4)}, {"size": size})


def _saved(store: Store, size: int) -> bool:
    found = read_checkpoint(store.run_folder("r"))
    return found is not None and found[1] == {"size": size} and found[0]["w"].numel() == size // 4


def _promote(store: Store, size: int) -> None:
    expected, newest = store.champion_id(), store.version_ids()[-1]
    store.promote(newest, expected=expected, reason="better", verdict={"text": "x" * size})


def _roll_back(store: Store, size: int) -> None:
    store.rollback(store.version_ids()[-1], reason="x" * size)


def _newest_serves(store: Store, size: int) -> bool:
    return store.champion_id() == store.version_ids()[-1]


def _record(store: Store, size: int) -> None:
    store.record("seen", "s", {"text": "x" * size})


def _recorded(store: Store, size: int) -> bool:
    return store.records("seen") == [("s", {"text": "x" * size})]


def _note(store: Store, size: int) -> None:
    Notes(store.run_folder("r")).put("n", "x" * size)


def _noted(store: Store, size: int) -> bool:
    return bool(Notes(store.run_folder("r")).get("n") == "x" * size)


def _forget(store: Store, size: int) -> None:
    store.forget(len(store.arrivals()))


def _forgotten(store: Store, size: int) -> bool:
    return not store.arrivals()[-1].kept and not list((store.root / "arrivals").iterdir())


# By name: what is done, and whether it was done. Each happens, or leaves everything as it was.
ACTIONS: dict[str, tuple[Callable[[Store, int], None], Callable[[Store, int], bool]]] = {
    "commit": (_commit, _committed),
    "arrival": (_arrive, _arrived),
    "checkpoint": (_save, _saved),
    "promote": (_promote, _newest_serves),
    "rollback": (_roll_back, _newest_serves),
    "record": (_record, _recorded),
    "note": (_note, _noted),
    "forget": (_forget, _forgotten),
}


def make_base(folder: Path) -> None:
    """A configuration, data, and a store with a champion that an update made and a version beside it."""
    folder.mkdir()
    (folder / "headstart.toml").write_text(CONFIG, encoding="utf-8")
    random = np.random.default_rng(0)
    for name in ("first", "later"):
        rows = [f"{x:.4f},{y:.4f},{int(x > y)}" for x, y in random.normal(size=(60, 2))]
        (folder / f"{name}.csv").write_text("\n".join(["x,y,label", *rows, ""]), encoding="utf-8")
    refused, problem = command(folder, folder / "store", "update", data="first.csv")
    if refused or problem:
        raise RuntimeError(f"the base of the campaign could not be made: {refused or problem}")
    store = Store(folder / "store")
    if store.champion_id() is None:
        store.promote(store.version_ids()[0], expected=None, reason="first")
    _commit(store, 400)
    _save(store, 400)
    store.close()


def command(base: Path, store: Path, verb: str, data: str = "") -> tuple[str | None, str | None]:
    """A verb of the command line: how it refused, if it did, and what was wrong with the way it did."""
    words = [verb, "--store", str(store), "--config", str(base / "headstart.toml")]
    words += ["--data", str(base / data), "--quiet"] if data else []
    done = CliRunner().invoke(headstart, words)
    gc.collect()  # closes the database
    if done.exit_code == 0:
        return None, None
    line, *more = done.stderr.splitlines() or [""]
    clear = line.startswith("headstart: error: ") and all(
        f" | {p}: " in line for p in ("where", "got", "fix")
    )
    if clear and not more and "this is a bug" not in line and done.exit_code in (1, 2):
        return line, None
    return line, f"`{verb}` left with {done.exit_code} and said: {done.stderr[-600:]}"


# --------------------------------------------------------------------------------------------- a trial


def trial(base: Path, place: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    """An action under a condition, and again without it.

    Returns:
        ``refused``: what the action said, or None; ``kept``: files of a version or arrival that wait for
        the same action to be done again; ``problems``: whatever was not as it should be.
    """
    os.environ["HEADSTART_VERIFY"] = "always"
    folder = place / "store"
    _lay_out(base, place, case)
    before = _files(folder)
    held = Store(folder) if case["held"] else None
    champion = _serve(held)
    with _condition(place, folder, case):
        refused, *problems = _act(base, folder, case, held)
        problems.append(_served(held, champion, case, refused))
        for verb in case["verbs"]:
            problems += command(base, folder, verb)[1:]
    if held:
        held.close()
    kept, *more = _afterwards(base, folder, case, before, refused)
    problems = [problem for problem in (*problems, *more) if problem]
    return {"refused": refused, "kept": kept, "problems": problems}


def _lay_out(base: Path, place: Path, case: Mapping[str, Any]) -> None:
    if case["condition"] == "denied":
        conditions.give_up_privileges()
    else:
        inodes = 250 if case["condition"] == "inodes" else 2000
        conditions.mount_memory(place, pages=2048, inodes=inodes)
    shutil.copytree(base / "store", place / "store")
    if case["action"] == "forget":
        store = Store(place / "store")
        _arrive(store, 800)
        store.close()


def _condition(place: Path, folder: Path, case: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
    match case["condition"]:
        case "space":
            return conditions.no_space(place, case["left"])
        case "inodes":
            return conditions.no_inodes(place, case["left"])
        case "read-only":
            return conditions.read_only(place)
        case _:
            ids = _ids(folder)
            path = case["path"].replace("CHAMPION", ids[0]).replace("NEWEST", ids[-1])
            return conditions.denied(folder / path, case["mode"])


def _ids(folder: Path) -> list[str]:
    """The champion, and the version beside it."""
    store = Store(folder)
    ids = store.version_ids()
    store.close()
    return ids


def _act(base: Path, folder: Path, case: Mapping[str, Any], held: Store | None) -> list[str | None]:
    """How the action was refused, if it was, and what was wrong with the way it was."""
    if case["action"] == "update":
        return list(command(base, folder, "update", "later.csv"))
    store = held
    try:
        store = store or Store(folder)
        ACTIONS[case["action"]][0](store, case["size"])
    except StoreError as error:
        unclear = isinstance(error, CorruptionError) or not error.fix or not error.where
        return [str(error), f"unclear: {type(error).__name__}: {error}" if unclear else None]
    except Exception:
        return ["another error", traceback.format_exc()[-900:]]
    finally:
        if store and not held:
            store.close()
    return [None]


def _afterwards(
    base: Path, folder: Path, case: Mapping[str, Any], before: Mapping[str, int], refused: str | None
) -> list[Any]:
    """Opened again, the store holds what it held; the same action succeeds. First, what waits for that."""
    problems: list[str | None] = []
    Store(folder).close()
    now = _files(folder)
    new, changed = (
        now.keys() - before.keys(),
        {name for name, size in before.items() if now.get(name) != size},
    )
    if refused and case["action"] != "update":
        # A version or arrival may be complete, and wait without a row; a forgotten one may be gone.
        tops = {"/".join(Path(name).parts[:2]) for name in new}
        if len(tops) > (case["action"] in ("commit", "arrival")):
            problems.append(f"left behind: {sorted(new)}")
        if changed - {"store.db"} and case["action"] != "forget":
            problems.append(f"changed: {sorted(changed)}")
    if refused:
        problems += [f"again: {text}" for text in _act(base, folder, case, None) if text]
    store = Store(folder)
    if not _happened(store, case):
        problems.append("it did not happen when it was done again" if refused else "it did not happen")
    problems += [f"verify: {problem}" for problem in store.verify()]
    store.close()
    left = [name for name in _files(folder) if "/.tmp" in name or name.startswith("store.db-")]
    return [bool(refused and new), *problems, f"left at the end: {left}" if left else None]


def _happened(store: Store, case: Mapping[str, Any]) -> bool:
    if case["action"] == "update":
        return len(store.records("done")) == 2
    return ACTIONS[case["action"]][1](store, case["size"])


def _served(
    held: Store | None, champion: str | None, case: Mapping[str, Any], refused: str | None
) -> str | None:
    """Whether the champion serves on, in a process that has the store open; where its files are hidden, a
    clear error says so."""
    if held is None or not (refused or case["hides"]):
        return None
    try:
        now = _serve(held)
    except StoreError as error:
        return None if case["hides"] and not isinstance(error, CorruptionError) else f"the champion: {error}"
    except Exception as error:
        return f"the champion: {type(error).__name__}: {error}"
    return None if now == champion else "the champion in service is another one"


def _serve(store: Store | None) -> str | None:
    """What a process that serves the champion reads: a digest of its weights."""
    champion = store.champion() if store else None
    if champion is None:
        return None
    return hashlib.sha256(
        b"".join(value.numpy().tobytes() for value in champion.weights().values())
    ).hexdigest()


def _files(folder: Path) -> dict[str, int]:
    """Everything below a folder, with the sizes of files."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.stat().st_size if path.is_file() else 0 for path in found}


# --------------------------------------------------------------------------------------------- processes


def _forked(base: Path, place: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = trial(base, place, case)
        except PermissionError as error:
            answer = {NOT_PERMITTED: str(error), "problems": [traceback.format_exc()[-900:]]}
        except BaseException:
            answer = {"problems": [traceback.format_exc()[-900:]]}
        with open(writer, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found: dict[str, Any] = json.loads(text) if text else {"problems": [f"the process ended with {code}"]}
    return found


def _warm_up(base: Path) -> None:
    """Imports what the trials need, so that each of their processes need not."""
    for verb in ("log", "show"):
        command(base, base / "store", verb)
    store = Store(base / "store")
    store.verify()
    store.close()
    gc.freeze()  # what is there now is never looked through again


def main() -> None:
    """Answers trials until standard input ends."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    make_base(folder / "base")
    _warm_up(folder / "base")
    for number, line in enumerate(sys.stdin):
        place = folder / f"place-{number}"
        place.mkdir()
        answer = _forked(folder / "base", place, json.loads(line))
        shutil.rmtree(place)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
