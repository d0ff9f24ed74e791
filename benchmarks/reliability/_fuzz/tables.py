"""Small tables that a tiny model learns from in milliseconds, and the configuration that goes with them."""

from __future__ import annotations

from pathlib import Path
from random import Random

__all__ = ["CONFIG", "lay_out", "table"]

CONFIG = """\
store = "store"
data = "new.csv"
fractions = [0.6, 0.2, 0.2]
[task]
kind = "tabular-classification"
target = "label"
hidden = [4]
[train]
epochs = 2
[budget]
steps = 2
[gate]
max_looks = 3
"""


def table(rows: int, seed: int) -> str:
    """A CSV file: two numbers, a category, and a label that follows from them."""
    random = Random(seed)
    lines = ["a,b,c,label"]
    for _ in range(rows):
        a, b, c = random.gauss(0, 1), random.gauss(0, 1), random.choice("xyz")
        lines.append(f"{a:.3f},{b:.3f},{c},{'yes' if a + b > 0 else 'no'}")
    return "\n".join(lines) + "\n"


def lay_out(folder: Path) -> None:
    """Writes a configuration and two arrivals into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "headstart.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "new.csv").write_text(table(24, 1), encoding="utf-8")
    (folder / "later.csv").write_text(table(24, 2), encoding="utf-8")
