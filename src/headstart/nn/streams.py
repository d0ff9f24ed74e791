"""Seeded random streams, keyed by purpose.

A stream is a function of a seed and a list of names, so two purposes never share draws and nothing
depends on how much another part consumed. ``generator(7, "order", 3)`` is the same on every machine.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch

__all__ = ["generator", "seed_for", "seeded"]


def seed_for(seed: int, *names: object) -> int:
    """A 63-bit seed for the stream of these names."""
    text = "\x1f".join([str(int(seed)), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator at the beginning of the stream of these names."""
    return torch.Generator(device=device).manual_seed(seed_for(seed, *names))


@contextlib.contextmanager
def seeded(seed: int, *names: object) -> Iterator[None]:
    """Global random state set to the stream inside the block, restored after it (CPU and GPUs).

    For code that draws from the global state, such as a model's default initialization.
    """
    # All devices by name: without it PyTorch warns where there are several.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed_for(seed, *names))
        yield
