"""A disk whose power is cut: what must be on it, what may be, and one of the ways it can look.

The model is the strictest that programs are told to expect. What was written to a file is on the disk when
that file was flushed; a name is in its folder when the folder was flushed. Everything since may or may not
be there, each change for itself: a write whole, not at all, up to a sector, or in some of its sectors; a
file's new size without its content (zeros); any of a folder's new, moved and removed names, or the first
few of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from random import Random
from typing import NamedTuple

__all__ = ["LUCK", "Disk", "Entry", "Luck", "materialize", "recording"]

SECTOR = 512
_HEAD = struct.Struct("<iiqqq")
Tree = dict[str, "bytes | Tree"]


class Entry(NamedTuple):
    """One thing that the recorder wrote down; see ``_recorder.c``."""

    kind: str
    file: int
    offset: int
    first: bytes
    second: bytes


def recording(path: Path) -> list[Entry]:
    """What was written down, in order."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        kind, file, offset, first, second = _HEAD.unpack_from(data, at)
        middle = at + _HEAD.size + first
        at = middle + second
        found.append(Entry(chr(kind), file, offset, data[middle - first : middle], data[middle:at]))
    return found


@dataclass(frozen=True)
class Luck:
    """Which of the changes that were not flushed reached the disk.

    Attributes:
        names: chance of each change of a folder; None for the first few of them, in order.
        data: chance of each write to a file; of the others, some are torn.
    """

    names: float | None
    data: float


# The corners first; then what lies between.
LUCK = (
    Luck(0, 0),
    Luck(1, 0),
    Luck(1, 1),
    Luck(None, 0.5),
    Luck(0.5, 0.5),
    Luck(0.9, 0.2),
    Luck(None, 0.9),
    Luck(0.2, 0.8),
)


@dataclass(eq=False)
class File:
    """A file: what is flushed, what was written since, and how long the process believes it to be."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    size: int = 0

    def change(self, offset: int, data: bytes | None) -> None:
        """A write; or, without data, a new size."""
        self.pending.append((offset, data))
        self.size = offset if data is None else max(self.size, offset + len(data))

    def flush(self) -> None:
        """Everything reaches the disk."""
        for offset, data in self.pending:
            _put(self.synced, offset, data)
        self.pending.clear()

    def image(self, luck: Luck, random: Random) -> bytes:
        """What may be on the disk."""
        content = bytearray(self.synced)
        for offset, data in self.pending:
            if luck.data in (0, 1) or random.random() < luck.data:
                if luck.data:
                    _put(content, offset, data)
            elif data is not None and random.random() < 0.5:
                _tear(content, offset, data, random)
        if random.random() < 0.5:
            content.extend(bytes(max(0, self.size - len(content))))
        return bytes(content)


@dataclass(eq=False)
class Folder:
    """A folder: the names that are flushed, their changes since, and those the process sees.

    A change is (name that goes, name that comes, what it names); either name may be missing.
    """

    synced: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[str | None, str | None, Node]] = field(default_factory=list)
    names: dict[str, Node] = field(default_factory=dict)

    def change(self, gone: str | None, come: str | None, node: Node) -> None:
        """A new name, a removed one, or a renaming."""
        self.pending.append((gone, come, node))
        _rename(self.names, gone, come, node)

    def flush(self) -> None:
        """Every change reaches the disk."""
        self.synced = dict(self.names)
        self.pending.clear()

    def image(self, luck: Luck, random: Random) -> Tree:
        """What may be on the disk, with all that lies below."""
        names = dict(self.synced)
        first = random.randint(0, len(self.pending))
        for number, change in enumerate(self.pending):
            if number < first if luck.names is None else random.random() < luck.names:
                _rename(names, *change)
        return {name: node.image(luck, random) for name, node in names.items()}


Node = File | Folder


class Disk:
    """The files below one folder, as a recording tells of them.

    Args:
        root: the folder; empty when the recording begins.
        deaf: what flushes are ignored: of ``File``, of ``Folder``, or of both. To see that it matters.
    """

    def __init__(self, root: str, deaf: tuple[type, ...] = ()) -> None:
        self.root = PurePosixPath(root)
        self.top = Folder()
        self.deaf = deaf
        self._open: dict[int, Node] = {}

    def apply(self, entry: Entry) -> None:
        """Takes in the next entry."""
        match entry.kind:
            case "o":
                self._open[entry.file] = self._opened(entry)
            case "c":
                self._open.pop(entry.file, None)
            case "w" | "t":
                node = self._open[entry.file]
                assert isinstance(node, File)  # noqa: S101
                node.change(entry.offset, entry.first if entry.kind == "w" else None)
            case "s":
                node = self._open[entry.file]
                if not isinstance(node, self.deaf):
                    node.flush()
            case "d":
                folder, name = self._at(entry.first)
                folder.change(None, name, Folder())
            case "u":
                folder, name = self._at(entry.first)
                folder.change(name, None, folder.names[name])
            case "r":
                (folder, old), (other, new) = self._at(entry.first), self._at(entry.second)
                if folder is not other:
                    raise NotImplementedError("a renaming from one folder into another")
                folder.change(old, new, folder.names[old])

    def image(self, luck: Luck, random: Random) -> Tree:
        """One of the ways the disk can look if the power fails now."""
        return self.top.image(luck, random)

    def _opened(self, entry: Entry) -> Node:
        folder, name = self._at(entry.first)
        if not name:
            return self.top
        if name not in folder.names:
            folder.change(None, name, File())
        node = folder.names[name]
        if entry.offset and isinstance(node, File) and node.size:
            node.change(0, None)
        return node

    def _at(self, path: bytes) -> tuple[Folder, str]:
        parts = PurePosixPath(path.decode()).relative_to(self.root).parts
        folder = self.top
        for part in parts[:-1]:
            below = folder.names[part]
            assert isinstance(below, Folder)  # noqa: S101
            folder = below
        return folder, parts[-1] if parts else ""


def materialize(tree: Tree, folder: Path) -> None:
    """Writes an image into a new folder."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            materialize(content, folder / name)
        else:
            (folder / name).write_bytes(content)


def _rename(names: dict[str, Node], gone: str | None, come: str | None, node: Node) -> None:
    if gone is not None:  # whatever name it has by now: an earlier renaming may not have reached the disk
        for name in [name for name, known in names.items() if known is node]:
            del names[name]
    if come is not None:
        names[come] = node


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _tear(content: bytearray, offset: int, data: bytes, random: Random) -> None:
    """Only a beginning of the write, or only some sectors of it, are there."""
    pieces = list(_sectors(offset, data))
    kept = pieces[: random.randrange(len(pieces))]
    if random.random() < 0.5:
        kept = [piece for piece in pieces if random.random() < 0.5]
    for piece in kept:
        _put(content, *piece)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    end = offset + len(data)
    while offset < end:
        stop = min(end, (offset // SECTOR + 1) * SECTOR)
        yield offset, data[len(data) - (end - offset) : len(data) - (end - stop)]
        offset = stop
