"""Data: tables by column, readers of every format, and sides that never change."""

from __future__ import annotations

from headstart.lifecycle.data.read import read
from headstart.lifecycle.data.rows import Rows, concat
from headstart.lifecycle.data.split import DEV, GATE, TRAIN, split

__all__ = ["DEV", "GATE", "TRAIN", "Rows", "concat", "read", "split"]
