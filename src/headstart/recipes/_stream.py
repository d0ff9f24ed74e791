"""A stream of rounds on which starts are compared: the same data, order and fresh models for every arm."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.lifecycle.data.embedded import load
from headstart.lifecycle.plan import StartSpec, make_start
from headstart.lifecycle.settings import TrainSettings
from headstart.lifecycle.tasks.base import Examples
from headstart.lifecycle.train import Run
from headstart.nn.streams import generator, seeded
from headstart.protocols import Parent

__all__ = ["Stream", "cifar", "digits", "gradient_ratio", "run_arm"]


class Labels:
    """Loss and scores of a classifier: what a run needs of a task."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return nn.functional.cross_entropy(outputs, targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 where right, 0 where wrong."""
        return (outputs.argmax(1) == targets).float()


@dataclass(frozen=True)
class Stream:
    """Rounds of growing data.

    Attributes:
        inputs, targets: all training rows, in order of arrival.
        test: held-out examples.
        rounds: number of rows known after each round.
        build: makes a freshly initialized model.
    """

    inputs: Tensor
    targets: Tensor
    test: Examples
    rounds: tuple[int, ...]
    build: Callable[[], nn.Module]

    def known(self, number: int) -> Examples:
        """Everything that has arrived by this round (from 0)."""
        count = self.rounds[number]
        return Examples(self.inputs[:count], self.targets[:count])

    def arrived(self, number: int) -> Examples:
        """What arrived with this round."""
        before = self.rounds[number - 1] if number else 0
        return Examples(self.inputs[before : self.rounds[number]], self.targets[before : self.rounds[number]])


@functools.lru_cache(maxsize=4)
def _images(part: str, size: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    import io

    from PIL import Image

    rows = load("cifar10", part=part)
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(raw))) for raw in rows.column("image")])
    block = 32 // size
    averaged = pixels.reshape(-1, size, block, size, block, 3).mean(axis=(2, 4))
    return averaged.astype(np.float32), rows.column("label").astype(np.int64)


def cifar(
    seed: int, *, rows: int, rounds: int, size: int, test: int, build: Callable[[], nn.Module]
) -> Stream:
    """CIFAR-10 in ``rounds`` rounds of ``rows``, averaged down to ``size`` pixels, scaled to [-1, 1].

    The seed draws which training images come, and in which order; the test images are the same.
    """
    pixels, labels = _images("train", size)
    held, held_labels = _images("test", size)
    order = torch.randperm(len(labels), generator=generator(seed, "stream"))[: rows * rounds].numpy()
    return Stream(
        _scaled(pixels[order]),
        torch.from_numpy(labels[order]),
        Examples(_scaled(held[:test]), torch.from_numpy(held_labels[:test])),
        tuple(rows * (number + 1) for number in range(rounds)),
        build,
    )


def digits(seed: int, *, rows: int, rounds: int, build: Callable[[], nn.Module]) -> Stream:
    """scikit-learn's digits as a stream; what is not used for training is the test set."""
    table = load("digits")
    names = [name for name in table.columns if name != "label"]
    inputs = torch.tensor(np.stack([table.column(n) for n in names], axis=1) / 8.0 - 1.0).float()
    targets = torch.tensor(table.column("label")).long()
    order = torch.randperm(len(targets), generator=generator(seed, "stream"))
    count = rows * rounds
    rest = order[count:]
    return Stream(
        inputs[order[:count]],
        targets[order[:count]],
        Examples(inputs[rest], targets[rest]),
        tuple(rows * (number + 1) for number in range(rounds)),
        build,
    )


def run_arm(
    stream: Stream, start: str, seed: int, settings: TrainSettings, *, probe: bool = False
) -> dict[str, Any]:
    """Takes one start through all rounds, each trained to the stopping rule.

    Returns:
        Per round: ``accuracy`` on the test set in per cent, ``steps`` with preparation, ``epochs``;
        ``seconds`` of processor time; with ``probe`` also ``ratio``, the new:old gradient-norm ratio
        at the beginning of each later round.
    """
    spec, task = StartSpec.parse(start), Labels()
    adapter = make_start(spec)
    model: nn.Module | None = None
    result: dict[str, Any] = {"accuracy": [], "steps": [], "epochs": [], "ratio": []}
    began = time.process_time()
    for number in range(len(stream.rounds)):
        with seeded(seed, "init", number):
            fresh = stream.build()
        known = stream.known(number)
        extra = 0
        if model is None:
            model = fresh
        else:
            parent = Parent(model, "", functools.partial(_batches, stream, number), task.loss)
            model = adapter(fresh, parent, generator=generator(seed, "start", number))
            extra = -(-round(adapter.data_passes * len(known)) // settings.batch_size)
            if probe:
                old = stream.known(number - 1)
                result["ratio"].append(gradient_ratio(model, stream.arrived(number), old, task.loss))
        run = Run(task, model, known, None, settings, seed=seed + 1000 * number)  # type: ignore[arg-type]
        run.advance()
        result["accuracy"].append(_accuracy(run.final_model(), stream.test))
        result["steps"].append(run.at.step + extra)
        result["epochs"].append(run.at.epoch)
    result["seconds"] = round(time.process_time() - began, 2)
    return result


def gradient_ratio(
    model: nn.Module,
    new: Examples,
    old: Examples,
    loss: Callable[[Any, Tensor], Tensor],
    count: int = 128,
) -> float:
    """Mean gradient norm of single new examples over that of single old ones."""
    return _mean_norm(model, new, loss, count) / max(_mean_norm(model, old, loss, count), 1e-12)


def _mean_norm(
    model: nn.Module, examples: Examples, loss: Callable[[Any, Tensor], Tensor], count: int
) -> float:
    model.eval()
    params = [p for p in model.parameters() if p.requires_grad]
    norms = []
    for index in range(min(count, len(examples))):
        one = examples.take(torch.tensor([index]))
        gradients = torch.autograd.grad(loss(model(one.inputs), one.targets), params)
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
    return sum(norms) / len(norms)


def _batches(stream: Stream, number: int) -> Sequence[tuple[Any, Tensor]]:
    parts = [stream.arrived(index) for index in range(number + 1)]
    return [(part.inputs, part.targets) for part in parts]


@torch.no_grad()
def _accuracy(model: nn.Module, test: Examples) -> float:
    model.eval()
    rights = 0.0
    for begin in range(0, len(test), 1000):
        part = test.take(torch.arange(begin, min(begin + 1000, len(test))))
        rights += float((model(part.inputs).argmax(1) == part.targets).sum())
    return 100.0 * rights / len(test)


def _scaled(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))) / 127.5 - 1.0
