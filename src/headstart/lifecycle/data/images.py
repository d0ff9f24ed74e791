"""Image folders: one sub-folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows

__all__ = ["read_folder"]

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def read_folder(path: Path) -> Rows:
    """A folder of class folders: columns ``image`` (the files' bytes) and ``label`` (the folder's name).

    Names that begin with a dot are left out.

    Raises:
        InputError: there is no image in a class folder, or a link leads out of the folder.
    """
    root = path.resolve()
    files = sorted(
        file
        for file in path.glob("*/*")
        if file.suffix.lower() in _ENDINGS and not file.name.startswith(".") and file.parent.name[0] != "."
    )
    for file in files:
        if not file.resolve().is_relative_to(root) or not file.is_file():
            raise InputError(
                "an image is no regular file inside the folder",
                where=str(file),
                got=str(file.resolve()),
                fix="copy the image into the folder; links that lead out of it are not followed",
            )
    if not files:
        raise InputError(
            "the folder holds no images in class folders",
            where=str(path),
            got=", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "an empty folder",
            fix=f"put images ({', '.join(_ENDINGS)}) into one sub-folder for each class",
        )
    images, labels = np.empty(len(files), dtype=object), np.empty(len(files), dtype=object)
    images[:] = [file.read_bytes() for file in files]
    labels[:] = [file.parent.name for file in files]
    return Rows({"image": images, "label": labels}, str(path))
