"""What starting costs: CPU seconds of `import headstart` and `headstart --help` above a bare Python.

Run it on a quiet machine: ``python benchmarks/startup.py [--repeats 15] [--json PATH]``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

CLI = "import sys; from headstart.cli import main; sys.argv = ['headstart', *{arguments}]; main()"
COMMANDS = {
    "python -c pass": "pass",
    "import headstart": "import headstart",
    "headstart --help": CLI.format(arguments=["--help"]),
    "headstart methods": CLI.format(arguments=["methods"]),
}
# Seconds above bare Python (CPU), and wall seconds for the list of methods.
GOALS = {"import headstart": ("cpu above bare", 0.15), "headstart methods": ("wall", 0.2)}


def measure(code: str) -> tuple[float, float]:
    """CPU and wall seconds of one Python process that runs ``code``."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def benchmark(repeats: int) -> dict[str, dict[str, float]]:
    """Medians for each command; rounds are interleaved, so that a slow moment hits all alike."""
    for code in COMMANDS.values():
        measure(code)  # compiles bytecode, fills the file cache
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, code in COMMANDS.items():
            times[name].append(measure(code))
    medians = {
        name: {"cpu": statistics.median(c for c, _ in pairs), "wall": statistics.median(w for _, w in pairs)}
        for name, pairs in times.items()
    }
    bare = medians["python -c pass"]["cpu"]
    return {name: {**row, "cpu above bare": row["cpu"] - bare} for name, row in medians.items()}


def main() -> None:
    """Measure, print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="rounds; the median counts")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()

    rows = benchmark(options.repeats)
    print(f"{'command':<20}{'CPU s':>9}{'above bare':>12}{'wall s':>9}   goal")
    for name, row in rows.items():
        kind, goal = GOALS.get(name, ("", 0.0))
        verdict = f"{kind} <= {goal} s: {'met' if row[kind] <= goal else 'MISSED'}" if kind else ""
        print(f"{name:<20}{row['cpu']:>9.3f}{row['cpu above bare']:>12.3f}{row['wall']:>9.3f}   {verdict}")
    if options.json:
        report = {"repeats": options.repeats, "python": sys.version.split()[0], "cores": os.cpu_count()}
        options.json.write_text(json.dumps({**report, "seconds": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
