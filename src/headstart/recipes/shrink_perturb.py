"""Shrink and perturb: warm starts lose accuracy over a stream of arrivals; shrinking gives it back.

E1 (online sequence), E2 (the same, stopped early) and E3 (gradient balance) on CIFAR-10. At ``small``
scale the images are averaged to 8x8 and the model is a multi-layer perceptron; ``full`` is the
ResNet-18 setting of the paper with 1,000 new images a round.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from headstart.lifecycle.settings import TrainSettings
from headstart.nn.models import MLP
from headstart.recipes._figures import curves
from headstart.recipes._recipe import Criterion, Recipe, Summary
from headstart.recipes._stats import paired
from headstart.recipes._stream import Stream, cifar, digits, run_arm

ARMS = ("scratch", "warm", "shrink-perturb", "dash", "fire")
EARLY = ("scratch", "warm")


def one(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All arms of E1 (with E3's ratio) and of E2 for one seed."""
    stream = _stream(seed, settings)
    train = TrainSettings(epochs=settings["epochs"], batch_size=settings["batch_size"])
    early = TrainSettings(epochs=settings["epochs"], batch_size=settings["batch_size"], stop_at=0.875)
    return {
        "E1": {arm: run_arm(stream, arm, seed, train, probe=True) for arm in ARMS},
        "E2": {arm: run_arm(stream, arm, seed, early) for arm in EARLY},
    }


def summarize(raws: Sequence[dict[str, Any]], settings: Mapping[str, Any]) -> Summary:
    """The card's table and criteria, over rounds 2 and later, paired by seed."""
    e1 = {arm: _arm([raw["E1"][arm] for raw in raws]) for arm in ARMS}
    gap = {arm: paired(e1[arm]["later"], e1["scratch"]["later"]) for arm in ARMS}
    share = {arm: sum(e1[arm]["later_steps"]) / sum(e1["scratch"]["later_steps"]) for arm in ARMS}
    rows = [
        [
            arm,
            round(statistics.fmean(e1[arm]["later"]), 2),
            round(statistics.fmean(e1[arm]["last"]), 2),
            "-" if arm == "scratch" else gap[arm].text(),
            round(statistics.fmean(e1[arm]["steps"])),
            round(share[arm], 3),
        ]
        for arm in ARMS
    ]
    back = paired(e1["shrink-perturb"]["later"], e1["warm"]["later"])
    criteria = [
        Criterion("warm minus scratch, points", gap["warm"].upper < 0 and gap["warm"].mean < -0.6,
                  gap["warm"].mean, "mean below -0.6, 95 % interval below 0"),
        Criterion("shrink-perturb minus warm, points", back.lower > 0, back.mean, "95 % interval above 0"),
        Criterion("shrink-perturb minus scratch, points", abs(gap["shrink-perturb"].mean) < 0.7,
                  gap["shrink-perturb"].mean, "within 0.7"),
        Criterion("steps of warm over scratch", share["warm"] < 0.5, share["warm"], "below 0.5"),
        Criterion("steps of shrink-perturb over scratch", share["shrink-perturb"] < 0.85,
                  share["shrink-perturb"], "below 0.85"),
        *_mechanism(raws),
    ]  # fmt: skip
    early = _early(raws, gap["warm"].mean)
    no_worse = {arm: gap[arm].upper > 0 and share[arm] < 1 for arm in ("shrink-perturb", "dash", "fire")}
    proves = {arm: "reproduced" if good else "not reproduced" for arm, good in no_worse.items()}
    proves["shrink-perturb"] = "reproduced" if all(c.passed for c in criteria) else "partly reproduced"
    proves |= {"scratch": "reproduced", "warm": "reproduced" if criteria[0].passed else "not reproduced"}
    return Summary(
        [
            "start",
            "accuracy, later rounds",
            "accuracy, last round",
            "minus scratch (95 %)",
            "steps",
            "of scratch",
        ],
        rows,
        [*criteria, early],
        proves,
    )


def _arm(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    return {
        "later": [statistics.fmean(run["accuracy"][1:]) for run in runs],
        "last": [run["accuracy"][-1] for run in runs],
        "steps": [sum(run["steps"]) for run in runs],
        "later_steps": [sum(run["steps"][1:]) for run in runs],
    }


def _mechanism(raws: Sequence[dict[str, Any]]) -> list[Criterion]:
    ratio = {
        arm: statistics.fmean(statistics.fmean(raw["E1"][arm]["ratio"]) for raw in raws)
        for arm in ("warm", "shrink-perturb")
    }
    return [
        Criterion(
            "E3: new:old gradient norm, warm", ratio["warm"] > 3, ratio["warm"], "far above 1 (over 3)"
        ),
        Criterion(
            "E3: new:old gradient norm, shrink-perturb",
            0.5 < ratio["shrink-perturb"] < 2,
            ratio["shrink-perturb"],
            "within a factor 2 of 1",
        ),
    ]


def _early(raws: Sequence[dict[str, Any]], full_gap: float) -> Criterion:
    runs = {arm: _arm([raw["E2"][arm] for raw in raws]) for arm in EARLY}
    gap = paired(runs["warm"]["later"], runs["scratch"]["later"])
    return Criterion(
        "E2: warm minus scratch, stopped at 87.5 % training accuracy",
        abs(gap.mean) < abs(full_gap) / 2,
        gap.mean,
        f"less than half the gap at 99 % ({full_gap:+.2f})",
    )


def draw(raws: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Test accuracy and cumulative steps over the rounds, mean over seeds."""
    panels = {
        "test accuracy, %": {arm: _mean_curve([raw["E1"][arm]["accuracy"] for raw in raws]) for arm in ARMS},
        "steps in the round": {arm: _mean_curve([raw["E1"][arm]["steps"] for raw in raws]) for arm in ARMS},
    }
    return [curves(panels, folder / "shrink-perturb.svg", xlabel="round")]


def _mean_curve(values: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(column) for column in zip(*values, strict=True)]


def _stream(seed: int, settings: Mapping[str, Any]) -> Stream:
    if settings["data"] == "digits":
        build = functools.partial(MLP, (64, 32, 10))
        return digits(seed, rows=settings["rows"], rounds=settings["rounds"], build=build)
    return cifar(
        seed,
        rows=settings["rows"],
        rounds=settings["rounds"],
        size=settings["size"],
        test=settings["test"],
        build=functools.partial(_model, settings["model"]),
    )


def _model(name: str) -> nn.Module:
    if name == "mlp":
        return MLP((192, 100, 100, 10))
    from headstart.nn.resnet import ResNet18

    return ResNet18(widths=(16, 32, 64, 128))


_COMMON = {"batch_size": 128, "epochs": 400}
RECIPE = Recipe(
    slug="shrink-perturb",
    claim="Warm starts lose accuracy over a stream of arrivals; shrink and perturb gives it back for fewer "
    "steps than training from scratch.",
    scales={
        "toy": {**_COMMON, "seeds": [0], "data": "digits", "rows": 40, "rounds": 3, "epochs": 60},
        "small": {
            **_COMMON, "seeds": [0, 1, 2, 3, 4], "data": "cifar10", "rows": 250, "rounds": 10, "size": 8,
            "test": 4000, "model": "mlp",
        },
        "full": {
            **_COMMON, "seeds": [0, 1, 2, 3, 4], "data": "cifar10", "rows": 1000, "rounds": 33, "size": 32,
            "test": 10000, "model": "resnet18",
        },
    },
    one=one,
    summarize=summarize,
    draw=draw,
)  # fmt: skip
