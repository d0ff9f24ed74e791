"""Overhead of the training loop against a bare PyTorch loop on the same model, data and order.

Both are run in turn, many times, in one process; the ratio of medians of processor time is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.tasks.base import Examples
from headstart.lifecycle.train import Run
from headstart.nn.streams import generator


class Labels:
    """Loss and scores of a classifier."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return nn.functional.cross_entropy(outputs, targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 where right."""
        return (outputs.argmax(1) == targets).float()


def models() -> dict[str, tuple[nn.Module, Examples]]:
    """Models of two sizes with their data."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(2560, 192, generator=draw), torch.randint(0, 10, (2560,), generator=draw)
    image = torch.randn(640, 3, 16, 16, generator=draw)
    small = nn.Sequential(nn.Linear(192, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    wide = nn.Sequential(
        nn.Linear(192, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )
    conv = nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(768, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return {
        "mlp 192-100-100-10": (small, Examples(x, y)),
        "mlp 192-1024-1024-10": (wide, Examples(x, y)),
        "conv 24-48, 16x16": (conv, Examples(image, y[:640])),
    }


def bare(model: nn.Module, data: Examples, epochs: int) -> None:
    """The loop anybody would write, with the running accuracy and loss that everybody prints."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(data), generator=generator(0, "order", epoch))
        right, loss_sum = 0.0, 0.0
        for begin in range(0, len(data), 128):
            index = order[begin : begin + 128]
            inputs, targets = data.inputs[index], data.targets[index]
            optimizer.zero_grad(set_to_none=True)
            outputs = model(inputs)
            loss = nn.functional.cross_entropy(outputs, targets)
            loss.backward()
            optimizer.step()
            right += (outputs.argmax(1) == targets).sum().item()
            loss_sum += loss.item() * len(index)


def ours(model: nn.Module, data: Examples, epochs: int) -> None:
    """The product's loop."""
    Run(Labels(), model, data, None, TrainSettings(epochs=epochs, stop_at=None), seed=0).advance()


def measure(model: nn.Module, data: Examples, *, repeats: int) -> tuple[float, float]:
    """Median processor seconds of the bare loop and of ours, alternating."""
    epochs = 4
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(repeats):
        for name, loop in (("bare", bare), ("ours", ours)):
            began = time.process_time()
            loop(model, data, epochs)
            times[name].append(time.process_time() - began)
    return statistics.median(times["bare"]), statistics.median(times["ours"])


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for name, (model, data) in models().items():
        plain, product = measure(model, data, repeats=options.repeats)
        rows[name] = {"bare_s": plain, "ours_s": product, "ratio": product / plain}
        print(f"{name:24s} bare {plain:7.3f} s   ours {product:7.3f} s   ratio {product / plain:.3f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
