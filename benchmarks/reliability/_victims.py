"""Work on a store that can be killed, and what is looked at afterwards; a process of its own that forks.

``python -m benchmarks.reliability._victims FOLDER`` reads requests from standard input, one JSON object a
line, and answers each with one line. It imports everything once; every victim is a fork of it, which
costs milliseconds where a new interpreter costs seconds.

Flushing files is switched off: it matters to a power cut (see ``power``), not to a killed process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import headstart as hs
from headstart.cli._guard import exit_code_of
from headstart.errors import StoreError
from headstart.lifecycle import failpoints, train
from headstart.lifecycle.artifact import read_checkpoint, write_checkpoint
from headstart.lifecycle.data.embedded import load
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.memory import gather
from headstart.lifecycle.signals import StopFlag
from headstart.lifecycle.store import ArrivalDraft, Store, VersionDraft
from headstart.lifecycle.verify import verify

__all__ = ["POINTS_OF", "look", "prepare", "weights_digest", "work"]

SETTINGS = hs.TrainSettings(epochs=40, lr=0.01, batch_size=64, checkpoint_every=5)
STARTS = ("spectral-temper", "shrink-perturb", "warm", "scratch")
# Which points each kind of work passes.
POINTS_OF = {
    "store": [n for n, words in failpoints.POINTS.items() if not words.startswith("update: ")],
    "update": [n for n, words in failpoints.POINTS.items() if words.startswith("update: ")],
}


def prepare(kind: str, folder: Path, seed: int) -> None:
    """What is there before the work that is killed: a first update, or nothing."""
    if kind == "update":
        _update(folder, 0, seed)


def work(kind: str, folder: Path, seed: int) -> None:
    """The work; done again after a kill it goes on from what is there."""
    if kind == "update":
        _update(folder, 1, seed)
    else:
        _by_hand(folder, seed)


def look(folder: Path) -> dict[str, Any]:
    """All that a store holds, read and checked, as JSON values."""
    store = Store(folder)
    runs = sorted(path.name for path in (folder / "runs").iterdir())
    found = read_checkpoint(store.run_folder("r")) if "r" in runs else None
    arrivals = store.arrivals()
    try:
        remembered = gather(store, len(arrivals) + 1).rows.digest() if arrivals else None
    except StoreError:
        remembered = None  # an arrival was forgotten and nothing kept of it
    return {
        "problems": [problem.to_dict() for problem in verify(store)],
        "versions": [
            (v.id, v.parents, {p: weights_digest(v.weights(p)) for p in v.parts}, v.document("plan"))
            for v in store.versions()
        ],
        "log": [(e.kind, e.version, e.previous) for e in store.log()],
        "champion": store.champion_id(),
        "arrivals": [(a.digest, a.count, a.kept, a.rows().digest() if a.kept else None) for a in arrivals],
        "remembered": remembered,
        "checkpoint": None if found is None else (weights_digest(found[0]), found[1]),
        "records": {kind: _timeless(store.records(kind)) for kind in ("done", "memory", "seen")},
        "left": sorted(str(p.relative_to(folder)) for p in folder.glob("*/.tmp-*")),
        "runs": [name for name in runs if name != "r"],
    }


def _update(folder: Path, number: int, seed: int) -> None:
    table = load("digits")
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed)).numpy()
    rows = table.take(np.asarray(order[number * 120 : (number + 1) * 120]))
    task = hs.tasks.TabularClassification(target="label", hidden=(16,))
    # Every other store keeps only part of the past, so that its records and removals are killed at, too.
    retention = "all" if seed % 2 == 0 else "replay:60"
    hs.update(
        *(task, folder, rows),
        starts=STARTS, budget=hs.Budget(steps=400), train=SETTINGS, retention=retention, report=False,
    )  # fmt: skip


def _by_hand(folder: Path, seed: int) -> None:
    store = Store(folder)
    kept = store.add_arrival(_arrival(seed, 6))
    dropped = store.add_arrival(_arrival(seed + 1000, 4))
    first = _commit(store, seed, 1.0)
    if store.champion_id() is None:
        store.promote(first, expected=None, reason="first")
    run = store.run_folder("r")
    found = read_checkpoint(run)
    for step in range(found[1]["step"] + 1 if found else 0, 3):
        write_checkpoint(run, {"w": torch.full((4,), float(step))}, {"step": step})
    second = _commit(store, seed, 2.0, first)
    if store.champion_id() == first and len(store.log()) == 1:
        store.promote(second, expected=first, reason="second", verdict={"p": 0.01})
    store.record("seen", "run", {"version": second, "rows": kept.count})
    if len(store.log()) == 2:
        store.rollback(reason="third")
    store.forget(dropped.index)


def _arrival(seed: int, size: int) -> ArrivalDraft:
    rows = Rows({"x": np.random.default_rng(seed).normal(size=size)}, "made")
    return ArrivalDraft(rows=rows, digest=rows.digest(), sides=np.arange(size, dtype=np.int8) % 3)


def _commit(store: Store, seed: int, value: float, *parents: str) -> str:
    weights = {"w": torch.arange(6.0) + value + seed}
    return store.commit_version(
        VersionDraft(weights=weights, parents=parents, documents={"plan": {"lr": value}})
    ).id


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names, kinds, shapes and values."""
    total = hashlib.sha256()
    for name, value in sorted(weights.items()):
        total.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        total.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _timeless(value: Any) -> Any:
    """A record without what the clock put into it."""
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if "seconds" not in k}
    return [_timeless(item) for item in value] if isinstance(value, (list, tuple)) else value


# ------------------------------------------------------------------------------------------- processes


def _child(do: Callable[[], Any], *, kill_after: float | None = None, number: int = 9) -> dict[str, Any]:
    """Runs ``do`` in a fork: its exit code, what it returned, what it wrote to standard error, seconds."""
    reader, writer = os.pipe()
    begun = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os._exit(_report(do, writer))
    os.close(writer)
    timer = threading.Timer(kill_after, os.kill, (pid, number)) if kill_after is not None else None
    if timer:
        timer.start()
    with open(reader, "rb") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if timer:
        timer.cancel()
    answer = json.loads(text) if text.endswith(b"}") else {}
    return {"code": code, "seconds": time.perf_counter() - begun, **answer}


def _report(do: Callable[[], Any], writer: int) -> int:
    answer: dict[str, Any] = {}
    code = 0
    try:
        answer["value"] = do()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        answer["error"] = traceback.format_exc()[-2000:]
        code = 1
    with open(writer, "wb") as pipe:
        pipe.write(json.dumps(answer).encode())
    return code


def _whole(kind: str, folder: Path, seed: int) -> dict[str, Any]:
    """The work undisturbed: what it leaves, how long it takes, how often it passes each point."""

    def undisturbed() -> dict[str, int]:
        os.environ["HEADSTART_FAILPOINT"] = "none"
        work(kind, folder, seed)
        return dict(failpoints.passes)

    done = _child(undisturbed)
    if done["code"]:
        raise RuntimeError(done.get("error"))
    return {"passes": done["value"], "seconds": done["seconds"], "state": look(folder)}


def _killed(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The work killed where the request says; looked at, done again, looked at again."""
    kind, seed = request["kind"], request["seed"]

    def victim() -> None:
        if "point" in request:
            os.environ["HEADSTART_FAILPOINT"] = request["point"]
        work(kind, folder, seed)

    first = _child(victim, kill_after=request.get("after"))
    looked = _child(lambda: look(folder))
    again = _child(lambda: work(kind, folder, seed))
    return {"killed": first, "looked": looked, "again": again, "final": _child(lambda: look(folder))}


def _stopped(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """SIGTERM or SIGINT at a moment: the exit code, and the steps begun after the signal arrived."""
    kind, seed, begun = request["kind"], request["seed"], [0]

    def victim() -> None:
        flags: list[StopFlag] = []
        make, step = StopFlag.__init__, train.Run._step

        def remember(flag: StopFlag) -> None:
            make(flag)
            flags.append(flag)

        def counted(run: train.Run, order: torch.Tensor) -> None:
            begun[0] += bool(flags and flags[-1].signal)
            step(run, order)

        StopFlag.__init__ = remember  # type: ignore[method-assign]
        train.Run._step = counted  # type: ignore[method-assign]
        code = exit_code_of(lambda: work(kind, folder, seed))
        with open(f"{folder}.steps", "w", encoding="ascii") as file:
            file.write(str(begun[0]))
        sys.exit(code)

    first = _child(victim, kill_after=request["after"], number=request["signal"])
    steps = Path(f"{folder}.steps")
    begun[0] = int(steps.read_text()) if steps.is_file() else -1
    looked = _child(lambda: look(folder))
    again = _child(lambda: work(kind, folder, seed))
    final = _child(lambda: look(folder))
    return {"killed": first, "steps": begun[0], "looked": looked, "again": again, "final": final}


def main() -> None:
    """Answers requests until standard input ends."""
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wholes: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        kind, seed = request["kind"], request["seed"]
        base = root / f"base-{kind}-{seed}"
        if (kind, seed) not in wholes:
            base.mkdir()
            prepare(kind, base, seed)  # in this process, so that its forks find everything imported
            before = look(base)
            shutil.copytree(base, root / "whole")
            wholes[kind, seed] = {**_whole(kind, root / "whole", seed), "before": before}
            shutil.rmtree(root / "whole")
        answer = {"whole": wholes[kind, seed]}
        if request["do"] != "whole":
            folder = root / f"trial-{number}"
            shutil.copytree(base, folder)
            if "fraction" in request:
                request["after"] = request["fraction"] * wholes[kind, seed]["seconds"]
            answer |= _killed(request, folder) if request["do"] == "kill" else _stopped(request, folder)
            shutil.rmtree(folder)
            if answer["killed"]["code"] == 0:  # it is quicker by now, and was over before its moment
                wholes[kind, seed]["seconds"] = answer["killed"]["seconds"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
