"""What the store costs: versions committed and promoted per second, and rows of an arrival per second.

Run ``python benchmarks/store.py [--folder PATH] [--json PATH]``. Every commit is durable (each file, its
folder and the database are flushed), so the disk decides: the physical limit shown beside is the number
of one-kilobyte files per second that can be written and flushed, one after the other, in the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.store import ArrivalDraft, Store, VersionDraft


def seconds(call: Callable[[int], object], repeats: int) -> float:
    """Median wall seconds of a call, after one that warms up."""
    call(-1)
    times = []
    for number in range(repeats):
        begin = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def flushed_file(folder: Path, number: int) -> None:
    """The least that any durable write costs."""
    with open(folder / f"f{number}", "wb") as file:
        file.write(b"x" * 1024)
        file.flush()
        os.fsync(file.fileno())


def draft(number: int, parameters: int) -> VersionDraft:
    """A version of so many float32 parameters."""
    weights = {"weight": torch.full((parameters,), float(number))}
    return VersionDraft(weights=weights, documents={"plan": {"number": number}})


def commit_and_promote(store: Store, number: int, parameters: int) -> None:
    """One version, put in service."""
    version = store.commit_version(draft(number, parameters))
    store.promote(version.id, expected=store.champion_id(), reason="benchmark")


def arrive(store: Store, number: int, rows: int) -> None:
    """One arrival of 32 numbers in a row, stored and read back."""
    table = Rows({"x": np.random.default_rng(number + 1).normal(size=(rows, 32))})
    sides = np.zeros(rows, dtype=np.int8)
    store.add_arrival(ArrivalDraft(rows=table, digest=table.digest(), sides=sides)).rows()


def benchmark(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Rates per second by what is measured."""
    store = Store(folder / "store")
    found = {
        "flushed 1 kB files (the limit)": {"per second": 1 / seconds(lambda n: flushed_file(folder, n), 50)}
    }
    for parameters in (1_000, 1_000_000):
        took = seconds(lambda n, size=parameters: commit_and_promote(store, n, size), repeats)  # type: ignore[misc]
        rate = {"per second": 1 / took, "MB per second": 4e-6 * parameters / took}
        found[f"versions of {parameters:,} parameters"] = rate
    for rows in (1_000, 100_000):
        took = seconds(lambda n, size=rows: arrive(store, n, size), max(3, repeats // 4))  # type: ignore[misc]
        rate = {"per second": rows / took, "MB per second": 256e-6 * rows / took}
        found[f"rows, arrivals of {rows:,}"] = rate
    problems = store.verify()
    store.close()
    if problems:
        raise SystemExit(f"the store is damaged: {problems[0]}")
    return found


def main() -> None:
    """Measures, prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="timed commits; the median counts")
    parser.add_argument("--folder", type=Path, help="on which disk (default: the system's temporary folder)")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = benchmark(Path(folder), options.repeats)
    print(f"{'what':<36}{'per second':>14}{'MB/s':>10}")
    for name, row in rows.items():
        size = f"{row['MB per second']:.1f}" if "MB per second" in row else ""
        print(f"{name:<36}{row['per second']:>14,.1f}{size:>10}")
    if options.json:
        report = {"repeats": options.repeats, "machine": platform.platform(), "cores": os.cpu_count()}
        options.json.write_text(json.dumps({**report, "rates": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
