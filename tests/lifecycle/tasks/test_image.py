"""Image classification: files and arrays, shapes and sizes."""

from __future__ import annotations

import io
import json
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks import ImageClassification, Schema
from headstart.lifecycle.tasks.base import Task

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def rows(images: Any) -> Rows:
    if isinstance(images, list):
        array = np.empty(len(images), dtype=object)
        array[:] = images
        images = array
    return Rows({"image": images, "label": np.arange(len(images)) % 2}, "photos")


def encoded(pixels: Any, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(buffer, format)
    return buffer.getvalue()


def files(pixels: Any = PIXELS, format: str = "PNG") -> Rows:
    return rows([encoded(image, format) for image in pixels])


def inputs(task: Task, data: Rows) -> torch.Tensor:
    return torch.as_tensor(task.encode(data, task.infer(data)).inputs)


def refused(work: Any, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        work()
    assert all(caught.value.to_dict().values())
    for word in words:
        assert word in str(caught.value)


def test_the_model_sees_channels_first_in_minus_one_to_one() -> None:
    task = ImageClassification()
    expected = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2) / 127.5 - 1.0).float()
    torch.testing.assert_close(inputs(task, rows(PIXELS)), expected, atol=1e-6, rtol=0)
    assert inputs(task, rows(np.array([[[0, 255]], [[255, 0]]], np.uint8))).aminmax() == (-1.0, 1.0)


@pytest.mark.parametrize("size", [None, 8, 4, 2, 1, 16])
def test_files_and_arrays_of_every_layout_give_the_same(size: int | None) -> None:
    task = ImageClassification(size=size)
    from_files = inputs(task, files())
    assert torch.equal(from_files, inputs(task, files(format="BMP")))
    assert torch.equal(from_files, inputs(task, rows(PIXELS)))
    assert torch.equal(from_files, inputs(task, rows(PIXELS.transpose(0, 3, 1, 2))))


@pytest.mark.parametrize("shape", [(8, 8), (8, 4), (4, 8)])
def test_averaging_to_a_size_is_the_mean_of_blocks(shape: tuple[int, int]) -> None:
    grey = PIXELS[:, : shape[0], : shape[1], 0]
    blocks = grey.reshape(4, 4, shape[0] // 4, 4, shape[1] // 4).astype(float).mean((2, 4))
    found = inputs(ImageClassification(size=4), rows(grey))
    assert found.shape == (4, 1, 4, 4)
    np.testing.assert_allclose((found[:, 0].numpy() + 1) * 127.5, np.floor(blocks + 0.5), atol=1e-4)


def test_modes_of_files_become_grey_or_rgb() -> None:
    grey = Image.fromarray(PIXELS[0, :, :, 0])
    for mode, channels in (("1", 1), ("L", 1), ("P", 3), ("RGBA", 3), ("LA", 3), ("CMYK", 3)):
        picture = encoded(grey.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
        assert inputs(ImageClassification(), rows([picture, picture])).shape == (2, channels, 8, 8)
    deep = Image.fromarray(np.full((8, 8), 0x80FF, np.uint16))
    found = inputs(ImageClassification(), rows([encoded(deep)] * 2))
    torch.testing.assert_close(found, torch.full((2, 1, 8, 8), 128 / 127.5 - 1))


PNG = encoded(PIXELS[0])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no image",
        PNG[:60],
        PNG[:-30][:80],
        PNG[:16] + b"\xff" * 8 + PNG[24:],
        encoded(PIXELS[0], "GIF"),
    ],
    ids=["empty", "text", "cut header", "cut data", "huge size", "gif"],
)
def test_a_file_that_is_no_image_is_refused_with_its_row(raw: bytes) -> None:
    refused(lambda: ImageClassification().infer(rows([PNG, PNG, raw])), "photos, column image, row 3", "PNG")


def test_a_small_file_of_very_many_pixels_is_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = (13000).to_bytes(4, "big")  # Pillow itself only warns, and makes them
    head = b"IHDR" + size + size + PNG[24:29]
    bomb = PNG[:12] + head + zlib.crc32(head).to_bytes(4, "big") + PNG[33:]
    monkeypatch.setattr(Image.Image, "convert", lambda *given: pytest.fail("the pixels were made"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(lambda: ImageClassification().infer(rows([bomb, PNG])), "row 1", "13000 x 13000 pixels")


def test_text_and_floats_are_no_images() -> None:
    refused(lambda: ImageClassification().infer(rows(["a.png", "b.png"])), "row 1")
    refused(lambda: ImageClassification().infer(rows(PIXELS / 255)), "uint8", "float64")
    refused(lambda: ImageClassification().infer(rows(np.zeros((2, 8, 8, 5), np.uint8))), "channels")
    refused(lambda: ImageClassification(image="photo").infer(rows(PIXELS)), "no photo")


def test_images_of_different_size_need_a_size() -> None:
    mixed = rows([encoded(PIXELS[0]), encoded(PIXELS[1][:4, :6]), encoded(PIXELS[2])])
    refused(lambda: ImageClassification().infer(mixed), "row 2", "[3, 4, 6]", "size=")
    assert inputs(ImageClassification(size=4), mixed).shape == (3, 3, 4, 4)
    with_grey = rows([encoded(PIXELS[0]), encoded(PIXELS[1, :, :, 0])])
    refused(lambda: ImageClassification(size=4).infer(with_grey), "row 2", "grey")


def test_a_later_arrival_must_have_the_first_shape() -> None:
    task = ImageClassification()
    schema = Schema.from_dict(json.loads(json.dumps(task.infer(files()).to_dict())))
    assert task.check(rows(PIXELS), schema).target["classes"] == [0, 1]
    assert torch.equal(torch.as_tensor(task.encode(files(), schema).inputs), inputs(task, files()))
    for work in (task.check, task.encode):
        refused(lambda work=work: work(rows(PIXELS[:, :4]), schema), "[3, 4, 8]", "[3, 8, 8]")


@pytest.mark.parametrize("model", [None, "convnet", "mlp", "resnet18", torch.nn.Sequential])
def test_every_built_in_model_fits(model: Any) -> None:
    task = ImageClassification(model=model if model is not torch.nn.Sequential else _custom)
    schema = task.infer(rows(PIXELS))
    outputs = task.build(schema).eval()(torch.as_tensor(task.encode(rows(PIXELS), schema).inputs))
    assert outputs.shape == (4, 2)


def _custom(input_shape: tuple[int, ...], num_classes: int) -> torch.nn.Module:
    assert input_shape == (3, 8, 8)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, num_classes))


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", True])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    refused(lambda: ImageClassification(size=size), "task.size")
