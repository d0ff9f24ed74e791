"""Spectral tempering: the cost-accuracy front of all starts, and two further streams.

Front: E1 of the shrink-perturb recipe with seeds that chose nothing. Text: BANKING77 as hashed
n-grams. Images: a convolutional network without normalization (at ``full`` scale only: some 20 minutes
of one core for a seed).
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.lifecycle.data.embedded import load
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.tasks.base import Examples
from headstart.lifecycle.tasks.text import TextClassification
from headstart.nn.models import MLP
from headstart.nn.streams import generator
from headstart.recipes._figures import scatter
from headstart.recipes._recipe import Criterion, Recipe, Summary
from headstart.recipes._stats import paired
from headstart.recipes._stream import Stream, cifar, digits, run_arm

CHEAP = "spectral-temper"
TEMPERED = (CHEAP, "spectral-temper:power=0.5,pull=0.25", "spectral-temper:power=0.0,pull=1.0")
FRONT = ("scratch", "warm", "shrink-perturb", "shrink-perturb:shrink=0.6", "fire", *TEMPERED)
SIDE = ("scratch", "warm", "shrink-perturb", "fire", *TEMPERED)


def conv_net() -> nn.Module:
    """Two 3x3 convolutions (24, 48 channels) with pooling and two linear layers, for 16x16 images."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(768, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def one(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All arms of every stream for one seed."""
    train = TrainSettings(epochs=settings["epochs"], batch_size=128)
    raw = {"front": _arms(_front(seed, settings), FRONT, seed, train)}
    if seed in settings.get("text_seeds", ()):
        raw["text"] = _arms(_text(seed, settings), SIDE, seed, train)
    if seed in settings.get("conv_seeds", ()):
        raw["conv"] = _arms(_conv(seed, settings), SIDE, seed, train)
    return raw


def summarize(raws: Sequence[dict[str, Any]], settings: Mapping[str, Any]) -> Summary:
    """The front's table, the further streams below it, and the card's criteria."""
    rows: list[list[Any]] = []
    for stream in ("front", "text", "conv"):
        runs = [raw[stream] for raw in raws if stream in raw]
        rows += [_row(stream, arm, runs) for arm in (FRONT if stream == "front" else SIDE) if runs]
    front = [raw["front"] for raw in raws]
    cheap, shrunk = _later(front, CHEAP), _later(front, "shrink-perturb")
    gap = paired(cheap, _later(front, "scratch"))
    share = sum(_steps(front, CHEAP)) / sum(_steps(front, "scratch"))
    against = paired(cheap, shrunk)
    fewer = [a < b for a, b in zip(_steps(front, CHEAP), _steps(front, "shrink-perturb"), strict=True)]
    criteria = [
        Criterion(
            "minus scratch, points", abs(gap.mean) <= 0.3 or gap.mean > 0, gap.mean, "within 0.3 or better"
        ),
        Criterion("steps over scratch", share <= 0.5, share, "at most 0.5"),
        Criterion(
            "seeds with fewer steps than shrink-perturb", all(fewer), float(sum(fewer)), f"{len(fewer)}"
        ),
        Criterion(
            "minus shrink-perturb, points",
            against.upper >= 0,
            against.mean,
            f"95 % interval reaches 0 ({against.text()})",
        ),
    ]
    return Summary(
        ["stream", "start", "seeds", "accuracy, later rounds", "minus scratch (95 %)", "steps", "of scratch"],
        rows,
        criteria,
        notes=_losses(raws),
    )


def _losses(raws: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    for stream, name in (("text", "BANKING77"), ("conv", "the convolutional stream")):
        runs = [raw[stream] for raw in raws if stream in raw]
        if runs:
            best = max(SIDE, key=lambda arm: statistics.fmean(_later(runs, arm)))
            gap = statistics.fmean(_later(runs, CHEAP)) - statistics.fmean(_later(runs, best))
            share = sum(_steps(runs, CHEAP)) / sum(_steps(runs, best))
            notes.append(
                f"On {name} the most accurate start is {best}; tempering at its defaults is {gap:+.2f} "
                f"points from it at {share:.2f} of its steps ({len(runs)} seeds)."
            )
    return notes


def draw(raws: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Accuracy against steps, relative to scratch: the front."""
    front = [raw["front"] for raw in raws]
    scratch = sum(_steps(front, "scratch"))
    points = []
    for arm in FRONT:
        gap = paired(_later(front, arm), _later(front, "scratch"))
        half = 0.0 if len(front) < 2 else gap.error
        points.append((_short(arm), sum(_steps(front, arm)) / scratch, gap.mean, half))
    return [
        scatter(
            points,
            folder / "spectral-temper.svg",
            title="Accuracy gained over training from scratch, in points, against its cost",
            xlabel="optimizer steps over the stream, as a share of training from scratch",
            line=[_short(arm) for arm in TEMPERED],
        )
    ]


def _short(arm: str) -> str:
    names = {CHEAP: "temper .5/.1", TEMPERED[1]: "temper .5/.25", TEMPERED[2]: "temper 0/1"}
    names |= {"shrink-perturb": "shrink-perturb .4/.1", "shrink-perturb:shrink=0.6": "shrink-perturb .6/.1"}
    return names.get(arm, arm)


def _row(stream: str, arm: str, runs: Sequence[Mapping[str, Any]]) -> list[Any]:
    steps = statistics.fmean(_steps(runs, arm))
    gap = paired(_later(runs, arm), _later(runs, "scratch"))
    return [
        stream,
        _short(arm),
        len(runs),
        round(statistics.fmean(_later(runs, arm)), 2),
        "-" if arm == "scratch" else gap.text() if len(runs) > 2 else f"{gap.mean:+.2f}",
        round(steps),
        round(steps / statistics.fmean(_steps(runs, "scratch")), 3),
    ]


def _later(runs: Sequence[Mapping[str, Any]], arm: str) -> list[float]:
    return [statistics.fmean(run[arm]["accuracy"][1:]) for run in runs]


def _steps(runs: Sequence[Mapping[str, Any]], arm: str) -> list[int]:
    return [sum(run[arm]["steps"]) for run in runs]


def _arms(stream: Stream, arms: Sequence[str], seed: int, train: TrainSettings) -> dict[str, Any]:
    return {arm: run_arm(stream, arm, seed, train) for arm in arms}


def _front(seed: int, settings: Mapping[str, Any]) -> Stream:
    if settings["data"] == "digits":
        build = functools.partial(MLP, (64, 32, 10))
        return digits(seed, rows=settings["rows"], rounds=settings["rounds"], build=build)
    build = functools.partial(MLP, (192, 100, 100, 10))
    return cifar(
        seed, rows=settings["rows"], rounds=settings["rounds"], size=8, test=settings["test"], build=build
    )


def _conv(seed: int, settings: Mapping[str, Any]) -> Stream:
    return cifar(seed, rows=300, rounds=8, size=16, test=settings["test"], build=conv_net)


def _text(seed: int, settings: Mapping[str, Any]) -> Stream:
    task = TextClassification(target="category", features=2048)
    rows, held = load("banking77", part="train"), load("banking77", part="test")
    schema = task.infer(rows)
    train, test = task.encode(rows, schema), task.encode(held, schema)
    order = torch.randperm(len(train), generator=generator(seed, "stream"))[: 500 * 8]
    chosen = train.take(order)
    return Stream(
        chosen.inputs if isinstance(chosen.inputs, torch.Tensor) else chosen.inputs[0],
        chosen.targets,
        Examples(test.inputs, test.targets),
        tuple(500 * (number + 1) for number in range(8)),
        functools.partial(MLP, (2048, 128, 77)),
    )


_SMALL = {"data": "cifar10", "rows": 250, "rounds": 10, "test": 4000, "epochs": 400}
RECIPE = Recipe(
    slug="spectral-temper",
    claim="Tempering the spectrum of old weights gives a fresh start's accuracy at under half of its steps.",
    scales={
        "toy": {"seeds": [10], "data": "digits", "rows": 40, "rounds": 3, "epochs": 60},
        "small": {**_SMALL, "seeds": list(range(10, 20)), "text_seeds": [10, 11, 12]},
        "full": {**_SMALL, "seeds": list(range(10, 40)), "test": 10000, "text_seeds": list(range(10, 20)),
                 "conv_seeds": list(range(10, 20))},
    },
    one=one,
    summarize=summarize,
    draw=draw,
)  # fmt: skip
