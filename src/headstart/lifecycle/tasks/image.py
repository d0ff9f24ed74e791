"""Image classification: encoded images or arrays of pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.lifecycle.tasks.checks import (
    check_columns,
    class_targets,
    first_classes,
    later_classes,
    places,
)
from headstart.lifecycle.tasks.options import checked
from headstart.nn.models import MLP, SmallConvNet
from headstart.nn.resnet import ResNet18

__all__ = ["ImageClassification"]

Array = np.ndarray[Any, Any]
# Pillow reads many more, some with programs of others.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_CHANNELS = (1, 3, 4)
# A file of some kilobytes can say that it holds gigabytes of black.
_MOST_PIXELS = 2**26


@checked
def ImageClassification(
    target: str = "label",
    *,
    image: str = "image",
    size: int | None = None,
    model: Any = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    allow_new_classes: bool = False,
) -> Task:
    """Predicts a class from an image.

    Images are bytes of PNG, JPEG, BMP or WebP files, or uint8 arrays (n, H, W, C), (n, C, H, W) or
    (n, H, W). The model sees (C, H, W) floats in [-1, 1].

    Args:
        target: column of the class.
        image: column of the image.
        size: side in pixels that images are averaged or enlarged to; needed when they differ in size.
        model: how to build the model (see :class:`Task`), or ``mlp``, ``convnet`` (default) or
            ``resnet18``.
        group, slices, allow_new_classes: as in the tabular task.
    """
    wanted = [image, target, *slices, *([group] if group else [])]
    builders = {None: _conv, "convnet": _conv, "mlp": _mlp, "resnet18": _resnet}

    def infer(rows: Rows) -> Schema:
        check_columns(rows, wanted)
        pixels = _pixels(rows, image, size, None)
        shape = list(pixels.shape[1:])
        return Schema(
            {image: {"kind": "image", "shape": shape}}, first_classes(rows, target), {"input_shape": shape}
        )

    def check(rows: Rows, schema: Schema) -> Schema:
        check_columns(rows, wanted)
        _pixels(rows, image, size, schema.columns[image]["shape"])
        return later_classes(rows, schema, allow_new=allow_new_classes)

    def encode(rows: Rows, schema: Schema) -> Examples:
        pixels = _pixels(rows, image, size, schema.columns[image]["shape"])
        return Examples(_scaled(pixels), class_targets(rows, schema))

    return Task(
        name="image-classification",
        target=target,
        model=builders[model] if model is None or (isinstance(model, str) and model in builders) else model,
        infer_schema=infer,
        check_rows=check,
        encode_rows=encode,
        group=group,
        slices=tuple(slices),
        settings={"image": image, "size": size},
    )


def _pixels(rows: Rows, name: str, size: int | None, expected: Sequence[int] | None) -> Array:
    values = rows.column(name)
    files = values.dtype == object
    if files and not len(rows):  # no file that could tell its shape
        return np.zeros((0, *(expected or ())), dtype=np.uint8)
    pixels = _decoded(rows, name, size) if files else _channels_first(values, rows, name)
    if size is not None and pixels.shape[2:] != (size, size):
        pixels = _resized(pixels, size)
    if expected is not None and list(pixels.shape[1:]) != list(expected):
        raise InputError(
            "the images have another shape than in the first arrival",
            where=f"{rows.source}, column {name}",
            got=f"channels, height, width {list(pixels.shape[1:])}",
            fix=f"hand in images of shape {list(expected)}, or set size= in the task",
        )
    return pixels


def _decoded(rows: Rows, name: str, size: int | None) -> Array:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            "reading image files needs Pillow",
            where=f"column {name}",
            got="not installed",
            fix="pip install 'headstart[data]'",
        ) from error
    images = []
    for number, raw in enumerate(rows.column(name), start=1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks of Pillow's, which nobody asked for
                pixels = _decode(Image, raw)
        except Exception as error:  # decoders raise anything from SyntaxError to struct.error
            raise InputError(
                "an image cannot be read",
                where=f"{rows.source}, column {name}, row {number}",
                got=f"{type(error).__name__}: {error}",
                fix="hand in the bytes of a PNG, JPEG, BMP or WebP file",
            ) from error
        # Not Pillow's own resizing: it rounds twice, and files would differ from arrays.
        images.append(pixels if size is None else _resized(pixels[None], size)[0])
    other = np.array([image.shape != images[0].shape for image in images], dtype=bool)
    if other.any():
        shape = images[int(other.argmax())].shape
        raise InputError(
            "the images differ in shape",
            where=f"{rows.source}, column {name}, {places(other)}",
            got=f"channels, height, width {list(shape)}, and {list(images[0].shape)} in row 1",
            fix="set size= in the task, and do not mix grey and coloured images",
        )
    return np.stack(images)


def _decode(image: Any, raw: bytes) -> Array:
    opened = image.open(io.BytesIO(raw), formats=_FORMATS)
    if opened.width * opened.height > _MOST_PIXELS:
        raise ValueError(f"{opened.width} x {opened.height} pixels, where {_MOST_PIXELS} are the most")
    if opened.mode == "I;16":  # convert() would clip its 65,536 shades to the lowest 256
        opened = image.fromarray((np.asarray(opened) >> 8).astype(np.uint8))
    picture = opened.convert("L" if opened.mode in ("1", "L") else "RGB")
    return np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)


def _channels_first(values: Array, rows: Rows, name: str) -> Array:
    if values.dtype != np.uint8 or values.ndim not in (3, 4):
        raise InputError(
            "images must be bytes or uint8 arrays",
            where=f"{rows.source}, column {name}",
            got=f"{values.dtype} {list(values.shape)}",
            fix="hand in uint8 arrays of shape (n, height, width, channels)",
        )
    if values.ndim == 3:
        return values[:, None]
    if values.shape[3] in _CHANNELS:
        return values.transpose(0, 3, 1, 2)
    if values.shape[1] in _CHANNELS:
        return values
    raise InputError(
        "it is not clear which dimension holds the channels",
        where=f"{rows.source}, column {name}",
        got=f"shape {list(values.shape)}",
        fix="hand in arrays of 1, 3 or 4 channels, last or first",
    )


def _resized(pixels: Array, size: int) -> Array:
    images = torch.from_numpy(pixels.astype(np.float32, order="C"))
    resized = nn.functional.interpolate(images, size=(size, size), mode="area")
    return (resized + 0.5).floor().byte().numpy()


def _scaled(pixels: Array) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32, order="C")) / 127.5 - 1.0


def _conv(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return SmallConvNet(input_shape[0], num_classes)


def _mlp(in_features: int, num_classes: int) -> nn.Module:
    return MLP((in_features, 100, 100, num_classes))


def _resnet(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return ResNet18(num_classes, input_shape[0])
