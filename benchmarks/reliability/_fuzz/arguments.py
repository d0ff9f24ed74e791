"""Command lines: the true options of every verb with values of every kind, missing, repeated and unknown."""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from random import Random

import click

from benchmarks.reliability._fuzz.config import SECTIONS, TOP
from benchmarks.reliability._fuzz.driver import Case
from benchmarks.reliability._fuzz.scratch import Scratch, base_store
from benchmarks.reliability._fuzz.tables import table
from benchmarks.reliability._fuzz.values import number, text, toml
from headstart.cli import VERBS

__all__ = ["Lines", "prepare"]

_PATHS = (
    *(
        "new.csv",
        "later.csv",
        "headstart.toml",
        "store",
        "images",
        "scores.csv",
        "empty",
        "none",
        "none/none",
        ".",
    ),
    *(
        "..",
        "../new.csv",
        "store/store.db",
        "store/versions",
        "new.csv/x",
        "../pipe",
        "x" * 300,
        "x/" * 3000,
        "../loop",
    ),
    *(
        "../dangling",
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/null/x",
        "/proc/self/mem",
        "/proc/self/environ",
    ),
    *(
        "nosuch://x",
        "memory://x",
        "sqlite://",
        "postgresql://127.0.0.1:1/x",
        "file:///",
        "\udcff.csv",
        "é.csv",
    ),
)
_SLUGS = (
    "warm",
    "scratch",
    "spectral-temper",
    "shrink-perturb:shrink=0.4,noise=0.1",
    "dash",
    "fire",
    "warn",
    "warm:",
)
# Roughly how dear a verb is decides how often it is tried.
_DEAR = {"update": 6, "race": 6, "report": 6, "doctor": 8}


def prepare(folder: Path) -> functools.partial[Lines]:
    """A store, data of every kind and things that are no files, made once for all children."""
    base = base_store(folder / "base")
    (base / "scores.csv").write_text("old,new,part\n0,1,a\n1,1,b\n0,1,a\n1,0,b\n", encoding="utf-8")
    (base / "é.csv").write_text(table(9, 3), encoding="utf-8")
    (base / "empty").write_bytes(b"")
    (base / "images" / "cat").mkdir(parents=True)
    (base / "images" / "cat" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ids = sorted(path.name for path in (base / "store" / "versions").iterdir())
    return functools.partial(Lines, base=base, ids=ids)


class Lines:
    """Runs one command line after the other over a small store."""

    def __init__(self, folder: Path, *, base: Path, ids: list[str]) -> None:
        self.ids = ids
        self.scratch = Scratch(folder, base, specials=True)

    def case(self, random: Random) -> Case:
        """One command line."""
        verb = random.choice(VERBS)
        while random.randrange(_DEAR.get(verb, 1)):
            verb = random.choice(VERBS)
        words = [*_spoiled(random, verb), *self._words(random, verb)]
        # What a terminal hands over: bytes that are no UTF-8 become lone surrogates.
        words = [
            os.fsdecode(word.encode("utf-8", "surrogatepass")) for word in [*words, *_caps(random, verb)]
        ]
        os.environ.pop("HEADSTART_STORE", None)
        if random.random() < 0.3:
            os.environ["HEADSTART_STORE"] = random.choice(("store", "none", "images", "sqlite://x", " "))
        encoding = random.choice(("utf-8", "utf-8", "ascii", "latin-1"))
        called, problem = self.scratch.call(words, encoding)
        return Case(verb, f"exit {called.code}", problem)

    def _words(self, random: Random, verb: str) -> list[str]:
        words: list[str] = []
        command = _command(verb)
        if isinstance(command, click.Group) and random.random() < 0.9:
            name = random.choice((*sorted(command.commands), "x"))
            command, words = command.commands.get(name, command), [name]
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                words += [self._value(random, parameter.name or "")] if random.random() < 0.9 else []
            elif random.random() < (0.9 if parameter.required else 0.25):
                words += self._option(random, parameter) * random.choice((1, 1, 1, 2))
        if random.random() < 0.1:
            words.insert(
                random.randint(0, len(words)), random.choice(("-h", "--", "-", "--x", "--traceback", "x"))
            )
        if random.random() < 0.1:
            words.append(text(random))
        if random.random() < 0.05:
            random.shuffle(words)
        return words

    def _option(self, random: Random, parameter: click.Parameter) -> list[str]:
        name = parameter.opts[0]
        if getattr(parameter, "is_flag", False):
            return [name] if random.random() < 0.95 else [f"{name}=x"]
        value = self._value(random, name.strip("-"))
        return (
            [f"{name}={value}"]
            if random.random() < 0.2
            else [name, value][: random.choice((1, 2, 2, 2, 2, 2, 2))]
        )

    def _value(self, random: Random, name: str) -> str:
        """A value that the option might take, or any text."""
        if random.random() < 0.2:
            return text(random).lstrip("/")
        if name in ("store", "config", "data", "gate-data", "out", "folder", "scores"):
            return random.choice(_PATHS)
        if name in ("version", "candidate", "to"):
            id = random.choice(self.ids)
            return random.choice((id, id[:6], id[:1], "champion", "", id.upper(), id + "0", "../" + id))
        if name in ("starts", "slug"):
            return ",".join(random.choice(_SLUGS) for _ in range(random.randint(1, 3)))
        if name == "set":
            return _assignment(random)
        if name in ("target", "reason", "scale"):
            return random.choice(("label", "a", "toy", "because", "c"))
        return number(random) if random.random() < 0.7 else random.choice(("1", "2", "3", "0.01", "0-3"))


@functools.cache
def _command(verb: str) -> click.Command:
    command: click.Command = importlib.import_module(f"headstart.cli.{verb}").command
    return command


def _assignment(random: Random) -> str:
    section = random.choice(("", *SECTIONS))
    key = random.choice(SECTIONS[section] if section else TOP)
    dotted = f"{section}.{key}" if section else key
    return (
        f"{random.choice((dotted, dotted, dotted, section, key, dotted + '.x', 'x.' + key))}={toml(random)}"
    )


def _spoiled(random: Random, verb: str) -> list[str]:
    """The verb, now and then not quite."""
    if random.random() < 0.97:
        return [verb]
    return random.choice(
        ([], [verb[:-1]], [verb.upper()], [text(random)], ["--version"], ["-h", verb], ["--json", verb])
    )


def _caps(random: Random, verb: str) -> list[str]:
    """Last words with which no line trains for long: demo and recipes are refused, the rest is small."""
    if verb == "demo":
        return ["--out", random.choice(("headstart.toml", "images", "store", "/dev/null", "", "../pipe"))]
    if verb == "recipe":
        return ["--seeds", random.choice(("x", "1-0", "-1", "0,0", "0-9999999999", "²"))]
    if verb in ("update", "race"):
        caps = random.choice((["--steps", "2"], ["--set", "train.epochs=1"]))
        return ["--set", "train.compile=false", *caps, *(["--quiet"] if random.random() < 0.5 else [])]
    return []
