"""Where a run computes: device, precision, compilation and data parallelism.

One process on one device by default. Under ``torchrun`` every process joins the group that its
environment names; each optimizer step then shares its batch among the processes, and
:class:`torch.nn.parallel.DistributedDataParallel` averages the gradients. Batches, order and step
count are those of one process, so the number of processes is no hyper-parameter.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.lifecycle.settings import TrainSettings

__all__ = ["Engine"]

T = TypeVar("T")


@dataclass(frozen=True)
class Engine:
    """A device, a precision and this process's place in its group.

    Attributes:
        device: where the model and the batches are.
        autocast: compute dtype inside forward passes, or None for the weights' own.
        compile: pass models through ``torch.compile``.
        rank, world: this process's number and how many there are.
    """

    device: torch.device
    autocast: torch.dtype | None = None
    compile: bool = False
    rank: int = 0
    world: int = 1

    @classmethod
    def of(cls, settings: TrainSettings) -> Engine:
        """The engine that settings and environment ask for; joins the process group if there is one.

        Raises:
            InputError: the device does not exist here.
        """
        world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = _device(settings.device, local)
        if world > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        dtype = torch.bfloat16 if settings.autocast == "bfloat16" else None
        return cls(device, dtype, settings.compile, rank, world)

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module to call in the training step; shares parameters with ``model``."""
        wrapped: nn.Module = model
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            wrapped = nn.parallel.DistributedDataParallel(wrapped, device_ids=ids)
        return torch.compile(wrapped) if self.compile else wrapped  # type: ignore[return-value]

    def precision(self) -> AbstractContextManager[Any]:
        """Context for forward passes."""
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def share(self, indices: Tensor) -> tuple[Tensor, float]:
        """This process's part of a batch, and the weight its mean loss needs.

        Gradients are averaged over processes, so a part of m of n examples weighs ``world * m / n``.
        A process left without an example computes one with weight 0, to keep the group in step.
        """
        if self.world == 1:
            return indices, 1.0
        part = indices[self.rank :: self.world]
        if len(part) == 0:
            return indices[:1], 0.0
        return part, self.world * len(part) / len(indices)

    def total(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def agreed(self, flag: bool) -> bool:
        """Whether any process says so; the same answer everywhere."""
        if self.world == 1:
            return flag
        return bool(self.total(torch.tensor(float(flag), device=self.device)) > 0)

    def first(self, work: Callable[[], T]) -> T:
        """Runs idempotent work that writes on the main process, then on the others."""
        if self.world == 1:
            return work()
        result = work() if self.main else None
        torch.distributed.barrier()
        return work() if result is None else result

    def to(self, value: Any) -> Any:
        """A tensor or a tuple of tensors on this device."""
        if isinstance(value, tuple):
            return tuple(item.to(self.device) for item in value)
        return value.to(self.device)


def _device(name: str, local: int) -> torch.device:
    if name == "auto":
        return torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "this device cannot be used",
            where="train.device",
            got=f"{name} ({str(error).splitlines()[0]})",
            fix="use auto, cpu, or a device that `headstart doctor` lists",
        ) from error
    return device
