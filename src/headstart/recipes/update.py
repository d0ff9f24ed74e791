"""update() on a stream: with its race, every step counted, against training from scratch each time.

Two stores see the same arrivals. One may use every start it likes; the other always starts from
nothing. Both models are measured on the same test images after every arrival.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import headstart as hs
from headstart.lifecycle.data.embedded import load
from headstart.lifecycle.data.rows import Rows
from headstart.nn.models import MLP
from headstart.nn.streams import generator
from headstart.recipes._figures import curves
from headstart.recipes._recipe import Criterion, Recipe, Summary
from headstart.recipes._stats import paired

ARMS: dict[str, tuple[str, ...] | None] = {"scratch": ("scratch",), "update": None}


def one(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Both arms over all arrivals of one seed."""
    rows, test = _data(seed, settings)
    task = hs.tasks.TabularClassification(target="label", model=_model(settings))
    train = hs.TrainSettings(epochs=400)
    raw: dict[str, Any] = {}
    for arm, starts in ARMS.items():
        with tempfile.TemporaryDirectory() as folder:
            raw[arm] = _stream(task, Path(folder) / "store", rows, test, starts, seed, train, settings)
    return raw


def _stream(
    task: Any,
    folder: Path,
    rows: Rows,
    test: Rows,
    starts: tuple[str, ...] | None,
    seed: int,
    train: Any,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    size = settings["rows"]
    raw: dict[str, Any] = {"accuracy": [], "steps": [], "race_steps": [], "winner": [], "decision": []}
    for number in range(settings["rounds"]):
        arrival = rows.take(np.arange(number * size, (number + 1) * size))
        result = hs.update(task, folder, arrival, starts=starts, seed=seed, train=train, report=False)
        raw["accuracy"].append(_accuracy(task, result.version, test))
        raw["steps"].append(result.record["steps_spent"])
        raw["race_steps"].append(result.record["steps_race"])
        raw["winner"].append(result.record["winner"])
        raw["decision"].append(result.decision)
    return raw


def _accuracy(task: Any, version: Any, test: Rows) -> float:
    from headstart.lifecycle.tasks.base import Schema, score

    examples = task.encode(test, Schema.from_dict(version.document("schema")))
    return 100.0 * float(score(task, version.load(task), examples).mean())


def summarize(raws: Sequence[dict[str, Any]], settings: Mapping[str, Any]) -> Summary:
    """Accuracy over later arrivals and cumulative steps, paired by seed."""
    later = {arm: [statistics.fmean(raw[arm]["accuracy"][1:]) for raw in raws] for arm in ARMS}
    steps = {arm: [sum(raw[arm]["steps"]) for raw in raws] for arm in ARMS}
    share = sum(steps["update"]) / sum(steps["scratch"])
    raced = sum(sum(raw["update"]["race_steps"]) for raw in raws) / sum(steps["update"])
    gap = paired(later["update"], later["scratch"])
    last = paired(*([raw[arm]["accuracy"][-1] for raw in raws] for arm in ("update", "scratch")))
    rows = [
        [
            arm,
            round(statistics.fmean(later[arm]), 2),
            "-" if arm == "scratch" else gap.text(),
            "-" if arm == "scratch" else last.text(),
            round(statistics.fmean(steps[arm])),
            round(sum(steps[arm]) / sum(steps["scratch"]), 3),
        ]
        for arm in ARMS
    ]
    criteria = [
        Criterion(
            "update minus scratch, points",
            gap.upper >= 0,
            gap.mean,
            f"95 % interval reaches 0 ({gap.text()})",
        ),
        Criterion("steps over scratch, every entrant counted", share <= 0.85, share, "at most 0.85"),
        Criterion("steps of losing entrants over all of update()", raced <= 0.25, raced, "at most 0.25"),
    ]
    return Summary(
        [
            "arm",
            "accuracy, later arrivals",
            "minus scratch (95 %)",
            "last arrival (95 %)",
            "steps",
            "of scratch",
        ],
        rows,
        criteria,
    )


def draw(raws: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Accuracy and cumulative steps over the arrivals, mean over seeds."""

    def mean(name: str, arm: str) -> list[float]:
        return [statistics.fmean(column) for column in zip(*(raw[arm][name] for raw in raws), strict=True)]

    panels = {
        "test accuracy, %": {arm: mean("accuracy", arm) for arm in ARMS},
        "cumulative steps": {arm: np.cumsum(mean("steps", arm)).tolist() for arm in ARMS},
    }
    return [curves(panels, folder / "update.svg", xlabel="arrival")]


class ImageMLP(nn.Module):
    """The stream's perceptron: 192 inputs, two hidden layers of 100."""

    def __init__(self) -> None:
        super().__init__()
        self.body = MLP((192, 100, 100, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, 10) of inputs (B, 192)."""
        logits: Tensor = self.body(inputs)
        return logits


class DigitMLP(nn.Module):
    """A perceptron for scikit-learn's digits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = MLP((64, 32, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, 10) of inputs (B, 64)."""
        logits: Tensor = self.body(inputs)
        return logits


def _model(settings: Mapping[str, Any]) -> type[nn.Module]:
    return DigitMLP if settings["data"] == "digits" else ImageMLP


def _data(seed: int, settings: Mapping[str, Any]) -> tuple[Rows, Rows]:
    count = settings["rows"] * settings["rounds"]
    if settings["data"] == "digits":
        table = load("digits")
        order = torch.randperm(len(table), generator=generator(seed, "stream")).numpy()
        return table.take(order[:count]), table.take(order[count:])
    from headstart.recipes._stream import cifar

    stream = cifar(
        seed,
        rows=settings["rows"],
        rounds=settings["rounds"],
        size=8,
        test=settings["test"],
        build=ImageMLP,
    )
    test = stream.test.inputs
    return _table(stream.inputs, stream.targets), _table(
        test if isinstance(test, Tensor) else test[0], stream.test.targets
    )


def _table(inputs: Tensor, targets: Tensor) -> Rows:
    return Rows({"x": inputs.flatten(1).double().numpy(), "label": targets.numpy()}, "cifar10")


RECIPE = Recipe(
    slug="update",
    claim="update() with its race ends no worse than training from scratch at every arrival, for well under "
    "its steps, every step of every entrant counted.",
    scales={
        "toy": {"seeds": [20], "data": "digits", "rows": 120, "rounds": 3},
        "small": {"seeds": list(range(20, 28)), "data": "cifar10", "rows": 250, "rounds": 10, "test": 4000},
        "full": {"seeds": list(range(20, 50)), "data": "cifar10", "rows": 1000, "rounds": 30, "test": 10000},
    },
    one=one,
    summarize=summarize,
    draw=draw,
)
