"""Values that programs tend to get wrong, and ways to damage bytes. Everything is drawn from a ``Random``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

__all__ = ["TEXTS", "bytes_of", "damaged", "number", "spliced", "text", "toml"]

TEXTS = (
    "",
    " ",
    "\n",
    "\x00",
    "a\x00b",
    "\x1b[31mred",
    "\ud800",
    "\udcff",
    "é",
    "e\u0301",
    "\u202eabc",
    "\ufeff",
    "\ufffd",
    "𝄞",
    "مرحبا",
    "None",
    "null",
    "nan",
    "true",
    "0",
    "-1",
    "1e999",
    "%s%n",
    "{0}",
    "{}",
    "$x",
    "--",
    "-h",
    "a=b",
    "a:b",
    "..",
    ".",
    "champion",
    "label",
    "'",
    '"',
    "`",
    "\\",
    "<b>",
    "a" * 300,
    "é" * 5000,
)
_NUMBERS = (
    *(
        "0",
        "1",
        "2",
        "-1",
        "-0",
        "0.0",
        "-0.0",
        "1.0",
        "0.5",
        "1e-320",
        "1e308",
        "1e999",
        "-1e999",
        "nan",
        "-inf",
    ),
    *(
        "inf",
        "00",
        "007",
        "+1",
        "1_0",
        "0x10",
        "0b1",
        "1e",
        ".",
        "٣",
        "²",
        "1,5",
        "true",
        "9" * 400,
        "9" * 5000,
    ),
    *(str(2**k + d) for k in (7, 8, 16, 31, 32, 53, 63, 64, 100) for d in (-1, 0, 1)),
    *(str(-(2**k) - d) for k in (31, 63) for d in (0, 1)),
)
_RANGES = ((0x20, 0x7E), (0, 0x1F), (0x80, 0x2FF), (0x400, 0x4FF), (0xD800, 0xDFFF), (0x1F300, 0x1FAFF))
_TOML = (
    *(
        "true",
        "false",
        "1979-05-27",
        "1979-05-27T07:32:00Z",
        "07:32:00",
        "0xff",
        "0o7",
        "1_000",
        "1e5",
        "nan",
    ),
    *("+inf", "-inf", "''", '""', "'''\nx'''", "[]", "{}", "[[]]", "[1, 'a', {}]", "{a = 1}", "{a.b = [1]}"),
    *(
        "[nan]",
        "[true]",
        "[0.5, 0.5]",
        "[0.8, 0.1, 0.1]",
        "[-1, 1, 1]",
        "[1e308, 1e308, 0]",
        "x",
        "'",
        "1.",
        "[1,",
    ),
)


def text(random: Random, most: int = 12) -> str:
    """A short text: a known troublemaker, a word, or random characters of one range."""
    choice = random.random()
    if choice < 0.4:
        return random.choice(TEXTS)
    if choice < 0.6:
        return random.choice("abcxyz") * random.randint(1, 3)
    low, high = random.choice(_RANGES)
    return "".join(chr(random.randint(low, high)) for _ in range(random.randint(0, most)))


def number(random: Random) -> str:
    """A number, or what looks like one, as text."""
    if random.random() < 0.5:
        return random.choice(_NUMBERS)
    return repr(random.choice((random.randint(-9, 9), random.gauss(0, 1), random.uniform(-1e6, 1e6))))


def toml(random: Random) -> str:
    """A TOML value, or what looks like one."""
    choice = random.random()
    if choice < 0.35:
        return random.choice(_TOML)
    if choice < 0.65:
        return number(random)
    if choice < 0.9:
        return json.dumps(text(random), ensure_ascii=random.random() < 0.2)
    return f"[{', '.join(toml(random) for _ in range(random.randint(0, 3)))}]"


def bytes_of(random: Random, most: int = 200) -> bytes:
    """Random bytes."""
    return random.randbytes(random.randint(0, most))


def damaged(random: Random, data: bytes) -> bytes:
    """The bytes after one to four accidents: flips, cuts, repeats, insertions, exchanged parts."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        _damage(random, found)
    return bytes(found)


def _damage(random: Random, data: bytearray) -> None:
    begin = random.randrange(len(data) + 1)
    end = min(len(data), begin + random.choice((1, 1, 2, 4, 16, 100)))
    kind = random.randrange(7)
    if kind == 0 and data:
        data[begin % len(data)] ^= 1 << random.randrange(8)
    elif kind == 1:
        del data[begin:]
    elif kind == 2:
        del data[begin:end]
    elif kind == 3:
        data[begin:begin] = data[begin:end]
    elif kind == 4:
        data[begin:end] = random.randbytes(end - begin)
    elif kind == 5:
        data[begin:begin] = text(random).encode("utf-8", "surrogatepass")
    else:
        data[begin:end] = random.choice((b"\x00", b"\xff", b"\x7f")) * (end - begin)


def spliced(random: Random, lines: Sequence[str]) -> list[str]:
    """The lines with one repeated, dropped, exchanged for another, or made a random text."""
    found = list(lines)
    place = random.randrange(len(found)) if found else 0
    kind = random.randrange(4)
    if kind == 0:
        found.insert(place, random.choice(found) if found else "")
    elif kind == 1:
        del found[place : place + 1]
    elif kind == 2:
        random.shuffle(found)
    else:
        found.insert(place, text(random, 40))
    return found
