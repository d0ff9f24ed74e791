"""Built-in data sets by name: scikit-learn's, and published ones from a folder or the hub."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError
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
# Where the field publishes the others: repository and revision on the Hugging Face hub. Two are published
# as scripts, which `datasets` no longer runs; the hub keeps their tables in a branch of its own.
_TABLES = "refs/convert/parquet"
_HUB = {
    "cifar10": ("uoft-cs/cifar10", "main"),
    "banking77": ("PolyAI/banking77", _TABLES),
    "shakespeare": ("karpathy/tiny_shakespeare", _TABLES),
}
NAMES = (*_BUNDLED, *_HUB)


def load(name: str, *, part: str = "train", data_dir: str | Path | None = None) -> Rows:
    """A built-in data set.

    Args:
        name: one of ``NAMES``.
        part: ``train`` or ``test``. The bundled sets have no test part.
        data_dir: folder with copies of the published sets; ``HEADSTART_DATA`` by default. Without a
            copy there the hub is asked, through the ``datasets`` library.

    Returns:
        ``pixel_0`` ... ``pixel_63`` (digits) or the measurements by name, and ``label`` as integers;
        ``image`` (bytes) and ``label`` for cifar10; ``text`` and ``category`` for banking77; ``text``
        for shakespeare, in blocks of about 1,000 characters, the last tenth of them as its test part.

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
        if part == "test":
            raise InputError(
                "this data set comes as one part",
                where=f"data set {name}",
                got="part test",
                fix="load part train and split it",
            )
        return _bundled(name)
    folder = data_dir or os.environ.get("HEADSTART_DATA")
    if folder and (Path(folder) / name).is_dir():
        return _from_folder(name, Path(folder) / name, part)
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


def _from_folder(name: str, folder: Path, part: str) -> Rows:
    pattern = {"cifar10": f"*{part}*.parquet", "banking77": f"{part}.csv", "shakespeare": "*.txt"}[name]
    files = sorted(folder.glob(pattern))
    if not files:
        raise InputError(
            "the copy of a data set is not complete",
            where=str(folder),
            got=f"no file {pattern}",
            fix="put the file there, or take the folder away to fetch the set from the hub",
        )
    if name == "shakespeare":
        return _share(read(files[0]), part)
    return concat([read(file) for file in files])


def _share(blocks: Rows, part: str) -> Rows:
    cut = int(0.9 * len(blocks))
    return blocks.take(np.arange(cut) if part == "train" else np.arange(cut, len(blocks)))


def _from_hub(name: str, part: str) -> Rows:
    try:
        import datasets
    except ImportError as error:
        raise _absent(name, "neither a copy in the data folder nor the datasets library") from error
    repository, revision = _HUB[name]
    split = None if name == "shakespeare" else part
    try:
        published: Any = datasets.load_dataset(repository, revision=revision, split=split)
    except Exception as error:  # the network, the hub, a cache without room: many kinds of error
        raise _absent(name, f"{repository} did not come: {type(error).__name__}: {error}") from error
    if name == "shakespeare":
        # Each part is one string; one after the other they are the text.
        parts = [published[key]["text"][0] for key in ("train", "validation", "test")]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "all.txt"
            file.write_bytes("".join(parts).encode())
            return _share(read(file, source=name), part)
    rows = read_arrow(published.data.table, name)
    if name == "banking77":
        names = published.features["label"].names
        categories = np.array([names[label] for label in rows.column("label")], dtype=object)
        return Rows({"text": rows.column("text"), "category": categories}, name)
    return Rows({"image": rows.column("img"), "label": rows.column("label")}, name)


def _absent(name: str, got: str) -> InputError:
    return InputError(
        "this data set is not here",
        where=f"data set {name}",
        got=got,
        fix=f"put a copy into $HEADSTART_DATA/{name}, or pip install 'headstart[data]' to fetch it",
    )
