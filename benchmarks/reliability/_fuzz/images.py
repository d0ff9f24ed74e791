"""Folders of images: sound, cut short, too large, of other kinds, and with names of every sort."""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from pathlib import Path
from random import Random

from PIL import Image

from benchmarks.reliability._fuzz.values import bytes_of, damaged, text

__all__ = ["folder_of_images"]

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "ICO")
_MODES = ("L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "LA", "I", "F")
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".PNG", ".gif", "")
_CLASSES = ("cat", "dog", ".hidden", "é", "a b", "1", "x" * 200)


def folder_of_images(random: Random, folder: Path) -> str:
    """Makes the folder, and says what is in it."""
    made = random.choice(("sound", "damaged", "damaged", "mixed", "strange"))
    folder.mkdir()
    names = random.sample(_CLASSES[:2] if made == "damaged" else _CLASSES, random.randint(1, 2))
    for name in names:
        (folder / name).mkdir()
        for number in range(random.randint(1, 3)):
            ending = random.choice(_ENDINGS) if made == "strange" else ".png"
            (folder / name / f"{number}{ending}").write_bytes(_image(random, made))
    if made == "strange":
        _strange(random, folder, folder / names[0])
    return made


def _image(random: Random, made: str) -> bytes:
    if made == "sound":
        return _sample(random.choice(_FORMATS[:4]), random.choice(("L", "RGB")), 6, 5)
    sample = _sample(
        random.choice(_FORMATS), random.choice(_MODES), random.choice((1, 4, 9)), random.choice((1, 6))
    )
    if made == "damaged":
        return damaged(random, sample)
    if made == "mixed":
        return sample
    return random.choice(
        (bytes_of(random), b"", sample, _bomb(*random.choice(_SIZES)), _claim(*random.choice(_SIZES)))
    )


@functools.cache
def _sample(kind: str, mode: str, width: int, height: int) -> bytes:
    file = io.BytesIO()
    try:
        Image.new(mode, (width, height), 1 if len(mode) == 1 else None).save(file, kind)
    except (OSError, ValueError, KeyError):  # a mode that this kind of file does not have
        file = io.BytesIO()
        Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


# Width and height that a small file says it has.
_SIZES = ((0, 0), (2**31 - 1, 2**31 - 1), (70000, 1), (9000, 9000), (13000, 13000), (65535, 65535))


@functools.cache
def _bomb(width: int, height: int) -> bytes:
    """A small file that holds as many black pixels as it says, up to a few hundred million."""
    packer = zlib.compressobj(1)
    line, rows = (b"\x00" * (width + 1), height) if width * height < 2 * 10**8 else (b"", 0)
    packed = b"".join(packer.compress(line) for _ in range(rows)) + packer.flush()
    return _png(width, height, packed)


def _claim(width: int, height: int) -> bytes:
    """A file that says so and holds nothing."""
    return _png(width, height, zlib.compress(b"\x00"))


def _png(width: int, height: int, packed: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _strange(random: Random, folder: Path, inside: Path) -> None:
    """Entries that are no images in class folders."""
    kind = random.randrange(7)
    if kind == 0:
        os.symlink("/", inside / "out.png")
    elif kind == 1:
        os.symlink("nowhere", inside / "gone.png")
    elif kind == 2:
        os.mkfifo(inside / "pipe.png")
    elif kind == 3:
        (inside / "deep.png").mkdir()
    elif kind == 4:
        os.makedirs(os.fsencode(folder) + b"/\xff\xfe")
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe/1.png")).write_bytes(_sample("PNG", "L", 6, 5))
    elif kind == 5:
        os.symlink("..", inside / "loop")
    else:
        name = text(random).replace("/", "").replace("\x00", "").encode("utf-8", "surrogatepass")[:99]
        Path(os.fsdecode(os.fsencode(inside) + b"/x" + name + b".png")).write_bytes(b"")
