"""What each start costs, as a share of one epoch of training.

Run ``python benchmarks/starts.py [--json PATH]``. Two models on one thread: a multilayer perceptron
192-100-100-10 and a small convolutional network, both on 2,500 rows in batches of 128 with Adam. DASH
reads all rows, in batches of 250. Times are medians; the share is start time over epoch time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from headstart.papers import discover
from headstart.protocols import Parent

ROWS, BATCH, ARRIVAL, CLASSES = 2500, 128, 250, 10


def mlp() -> nn.Module:
    """192-100-100-10, as in the warm-start experiments on 8x8 colour images."""
    layers = [nn.Flatten(), nn.Linear(192, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(100, CLASSES))


def conv() -> nn.Module:
    """Two 3x3 convolutions (24, 48) with batch norm and pooling, then 192-64-10, on 8x8 colour images."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(192, 64),
        nn.ReLU(),
        nn.Linear(64, CLASSES),
    )


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def epoch(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """One pass of training with a new Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for inputs, targets in zip(x.split(BATCH), y.split(BATCH), strict=True):
        optimizer.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()


def measure(name: str, build: Callable[[], nn.Module], repeats: int) -> list[dict[str, object]]:
    """One row for each start that takes this model."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 3, 8, 8, generator=generator)
    y = torch.randint(CLASSES, (ROWS,), generator=generator)
    torch.manual_seed(0)
    trained, model = build(), build()
    epoch_seconds = seconds(lambda: epoch(trained, x, y), repeats)
    arrivals = list(zip(x.split(ARRIVAL), y.split(ARRIVAL), strict=True))
    parent = Parent(trained, batches=lambda: arrivals, loss=cross_entropy)
    rows: list[dict[str, object]] = []
    for item in discover():
        if item.paper.socket != "start" or item.paper.family != "reuse":
            continue
        start = importlib.import_module(item.module).ADAPTER()
        cost = seconds(lambda start=start: start(model, parent, generator=generator), repeats)
        rows.append(
            {
                "model": name,
                "start": item.paper.slug,
                "start_seconds": cost,
                "epoch_seconds": epoch_seconds,
                "share_of_epoch": cost / epoch_seconds,
            }
        )
    return rows


def main() -> None:
    """Prints the table; writes it as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument(
        "--repeats", type=int, default=9, help="timed calls of each start and epoch (default 9)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure("mlp", mlp, options.repeats) + measure("conv", conv, options.repeats)
    print(f"{'model':6}{'start':18}{'start ms':>10}{'epoch ms':>10}{'share':>9}")
    for row in rows:
        print(
            f"{row['model']:6}{row['start']:18}{1e3 * row['start_seconds']:10.2f}"
            f"{1e3 * row['epoch_seconds']:10.1f}{row['share_of_epoch']:9.1%}"
        )
    if options.json:
        document = {"torch": torch.__version__, "machine": platform.platform(), "threads": 1, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
