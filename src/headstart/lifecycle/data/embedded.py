"""Built-in data sets by name: scikit-learn's, and published ones from a folder or the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.data.files import read_csv, read_text
from headstart.lifecycle.data.frames import read_arrow
from headstart.lifecycle.data.read import read
from headstart.lifecycle.data.rows import Rows, concat

__all__ = ["NAMES", "load"]

_BUNDLED = {
    "digits": "load_digits",
    "iris": "load_iris",
    "wine": "load_wine",
    "breast-cancer": "load_breast_cancer",
}
# Where the field publishes the others.
_HUB = {
    "cifar10": "uoft-cs/cifar10",
    "banking77": "PolyAI/banking77",
    "shakespeare": "karpathy/tiny_shakespeare",
}
NAMES = (*_BUNDLED, *_HUB)


def load(name: str, *, part: str = "train", data_dir: str | Path | None = None) -> Rows:
    """A built-in data set.

    Args:
        name: one of ``NAMES``.
        part: ``train`` or ``test``; the bundled sets have one part.
        data_dir: folder with copies of the published sets; ``HEADSTART_DATA`` by default. Without a
            copy there the hub is asked, through the ``datasets`` library.

    Raises:
        InputError: unknown name or part, or no way to get the data here.
    """
    if name not in NAMES or part not in ("train", "test"):
        raise InputError(
            "there is no such built-in data set",
            where="data set",
            got=f"{name}, part {part}",
            fix=f"use one of: {', '.join(NAMES)}; part train or test",
        )
    if name in _BUNDLED:
        return _bundled(name)
    folder = data_dir or os.environ.get("HEADSTART_DATA")
    if folder and (Path(folder) / name).is_dir():
        return _LOCAL[name](Path(folder) / name, part)
    return _from_hub(name, part)


def _bundled(name: str) -> Rows:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise InputError(
            "the bundled data sets come with scikit-learn",
            where=f"data set {name}",
            got="not installed",
            fix="pip install 'headstart[demo]'",
        ) from error
    bunch = getattr(datasets, _BUNDLED[name])()
    names = (
        [f"pixel_{i}" for i in range(64)] if name == "digits" else [_plain(n) for n in bunch.feature_names]
    )
    columns = {column: bunch.data[:, i].astype(np.float64) for i, column in enumerate(names)}
    return Rows({**columns, "label": bunch.target.astype(np.int64)}, name)


def _plain(name: str) -> str:
    return name.replace(" (cm)", "").replace(" ", "_").replace("/", "_")


def _cifar10(folder: Path, part: str) -> Rows:
    files = sorted(folder.glob(f"*{part}*.parquet"))
    return concat([read(file) for file in files])


def _banking77(folder: Path, part: str) -> Rows:
    return read_csv(folder / f"{part}.csv")


def _shakespeare(folder: Path, part: str) -> Rows:
    rows = read_text(next(iter(sorted(folder.glob("*.txt")))))
    cut = int(0.9 * len(rows))
    return rows.take(np.arange(cut) if part == "train" else np.arange(cut, len(rows)))


_LOCAL: dict[str, Callable[[Path, str], Rows]] = {
    "cifar10": _cifar10,
    "banking77": _banking77,
    "shakespeare": _shakespeare,
}


def _from_hub(name: str, part: str) -> Rows:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "this data set is not here",
            where=f"data set {name}",
            got="neither a copy in the data folder nor the datasets library",
            fix=f"put a copy into $HEADSTART_DATA/{name}, or pip install 'headstart[data]' to fetch it",
        ) from error
    table: Any = datasets.load_dataset(_HUB[name], split=part)
    renamed = {"img": "image"} if name == "cifar10" else {"label": "category"} if name == "banking77" else {}
    arrow = table.data.table
    return read_arrow(arrow.rename_columns([renamed.get(n, n) for n in arrow.column_names]), name)
