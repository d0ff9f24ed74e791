"""Configuration files: bytes, damaged files, right keys with wrong values, and shapes nobody writes."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.reliability._fuzz.driver import Case, described, unclear
from benchmarks.reliability._fuzz.scratch import Scratch
from benchmarks.reliability._fuzz.tables import CONFIG, lay_out
from benchmarks.reliability._fuzz.values import TEXTS, bytes_of, damaged, spliced, text, toml
from headstart.errors import HeadstartError
from headstart.lifecycle.budget import Budget
from headstart.lifecycle.config import load_config
from headstart.lifecycle.settings import GateSettings, RaceSettings, TrainSettings
from headstart.lifecycle.tasks.configured import KINDS

__all__ = ["Files"]

_SETTINGS = {"train": TrainSettings, "race": RaceSettings, "gate": GateSettings, "budget": Budget}
SECTIONS = {name: [f.name for f in dataclasses.fields(kind)] for name, kind in _SETTINGS.items()}
SECTIONS["task"] = sorted(
    {n for make in KINDS.values() for n in inspect.signature(make).parameters} | {"kind"}
)
TOP = ("store", "artifacts", "data", "gate_data", "starts", "seed", "fractions", "retention", "reference")
# Values that mean something to some key.
_WORDS = (
    *(
        "adam",
        "adamw",
        "sgd",
        "cosine",
        "linear",
        "step",
        "bfloat16",
        "cpu",
        "cuda",
        "meta",
        "mps",
        "cpu:9",
        "all",
    ),
    *("none", "replay:3", "replay:0", "replay:²", "replay:" + "9" * 5000, "improvement", "non-inferiority"),
    *("new.csv", "later.csv", "none.csv", "store", "headstart.toml", "memory://x", "nosuch://x", "sqlite://"),
    *(
        "sqlite:///x.db",
        "mysql://h/x",
        "postgresql://127.0.0.1:1/x",
        "refuse",
        "ignore",
        "mean",
        "label",
        "char",
    ),
    *(
        "warm",
        "scratch",
        "shrink-perturb",
        "shrink-perturb:shrink=2",
        "spectral-temper:power=nan",
        "warm:x=1",
    ),
    *(
        "torch.nn:Linear",
        "torch.nn:Nothing",
        "nosuch:x",
        "json:loads",
        "sys:exit",
        "a:b",
        "mlp",
        "convnet",
        ".:x",
    ),
    *("custom", "tabular-regression", "tabular-clasification", "a", "b", "c", "headstart.api:update"),
)
_ROW = 40  # one case in so many runs a whole verb


class Files:
    """Writes a configuration file, loads it, makes its task, and now and then runs a verb on it."""

    def __init__(self, folder: Path) -> None:
        lay_out(folder / "base")
        self.scratch = Scratch(folder, folder / "base")

    def case(self, random: Random) -> Case:
        """One file."""
        kind = random.choice(("near", "near", "near", *_KINDS))
        data = _KINDS[kind](random)
        path = self.scratch.folder / "headstart.toml"
        path.write_bytes(data)
        if random.randrange(_ROW) == 0:
            return self._verb(random, kind, data)
        try:
            config = load_config(path)
            config.arguments()
            config.task().describe()
        except HeadstartError as error:
            return Case(kind, type(error).__name__, unclear(error))
        except BaseException as error:
            return Case(kind, "escaped", f"{described(error)} for {data[:200]!r}")
        return Case(kind, "loaded")

    def _verb(self, random: Random, kind: str, data: bytes) -> Case:
        verb = random.choice(
            (("update", "--quiet"), ("update", "--quiet"), ("log",), ("gate", "--candidate", "a"))
        )
        # Whatever the file says, nothing here trains for long.
        caps = ("--steps", "2", "--set", "train.compile=false") if verb[0] == "update" else ()
        called, problem = self.scratch.call((*verb, *caps))
        if problem:
            problem += f" for {data[:1500]!r}"
        return Case(f"{kind}, {verb[0]}", f"exit {called.code}", problem)


def _damaged(random: Random) -> bytes:
    return damaged(random, CONFIG.encode())


def _spliced(random: Random) -> bytes:
    return "\n".join(spliced(random, CONFIG.splitlines())).encode("utf-8", "surrogatepass")


def _near(random: Random) -> bytes:
    """The sound file with one to three keys that say something else; most load, or miss by one thing."""
    said: dict[str, dict[str, str]] = {"": {}, "task": {}, "train": {}, "race": {}, "gate": {}, "budget": {}}
    section = ""
    for line in CONFIG.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        else:
            key, _, value = line.partition(" = ")
            said[section][key] = value
    if random.random() < 0.3:
        said["task"] = {"kind": json.dumps(random.choice(list(KINDS)))}
    for _ in range(random.choice((1, 1, 2, 3))):
        section = random.choice(list(said))
        key = random.choice(SECTIONS[section] if section else TOP)
        said[section][key] = _fitting(random, section, key) if random.random() < 0.6 else _value(random)
    return _written(said)


def _fitting(random: Random, section: str, key: str) -> str:
    """A value of the key's type, in or out of its range."""
    kind = _SETTINGS.get(section)
    default = getattr(kind(), key) if kind else key
    if isinstance(default, bool):
        return random.choice(("true", "false"))
    if isinstance(default, int) or key in (
        "steps",
        "samples",
        "patience",
        "seed",
        "size",
        "features",
        "context",
    ):
        return str(
            random.choice((0, 1, 2, 5, 7, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400))
        )
    if isinstance(default, float) or default is None or key == "max_unknown":
        return random.choice(
            ("0.0", "1e-9", "0.3", "0.5", "0.999", "1.0", "1", "7.5", "1e9", "1e300", "5e-324", "nan")
        )
    if key in ("hidden", "ngrams", "fractions"):
        return random.choice(
            ("[]", "[1]", "[1, 1]", "[3, 2]", "[0.5, 0.5, 0.0]", "[1.0, 0.0, 0.0]", "[0.0, 0.0, 1.0]")
        )
    if key in ("columns", "slices", "starts"):
        return json.dumps(random.sample(_WORDS, random.randint(0, 3)))
    return json.dumps(random.choice(_WORDS))


def _grammar(random: Random) -> bytes:
    said: dict[str, dict[str, str]] = {}
    for _ in range(random.randint(0, 4)):
        section = random.choice(("", *SECTIONS, "lr", "tasks", '"é"', "task.kind", "a.b.c"))
        keys = [*SECTIONS.get(section, TOP), random.choice(TOP), "x", json.dumps(random.choice(TEXTS))]
        said[section] = {random.choice(keys): _value(random) for _ in range(random.randint(0, 4))}
    if random.random() < 0.5:
        said.setdefault("task", {}).setdefault("kind", json.dumps(random.choice(list(KINDS))))
    return _written(dict(sorted(said.items())))


def _odd(random: Random) -> bytes:
    """Deep, long and wide."""
    size = random.choice((10, 100, 1000, 3000))
    forms = (
        lambda: "seed = " + "[" * size + "]" * random.choice((size, 0)),
        lambda: "x = " + "{a = " * size + "1" + "}" * size,
        lambda: ".".join(["a"] * size) + " = 1",
        lambda: "[" + ".".join(["task"] * size) + "]",
        lambda: "\n".join(f"[[a{'.b' * (n % 5)}]]" for n in range(min(size, 300))),
        lambda: f'store = "{text(random) * size}"',
        lambda: "seed = " + random.choice("0123456789-_e.") * size,
        lambda: "\n".join(f"{random.choice(TOP)}{n} = {_value(random)}" for n in range(min(size, 300))),
        lambda: "[task]\n" + "\n".join(f"{key} = {_value(random)}" for key in SECTIONS["task"]),
    )
    head = random.choice(("", CONFIG))
    return (head + "\n" + random.choice(forms)()).encode("utf-8", "surrogatepass")


def _value(random: Random) -> str:
    return json.dumps(random.choice(_WORDS)) if random.random() < 0.4 else toml(random)


def _written(said: dict[str, dict[str, str]]) -> bytes:
    lines = []
    for section, values in said.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{key} = {value}" for key, value in values.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


_KINDS: dict[str, Callable[[Random], bytes]] = {
    "bytes": bytes_of,
    "damaged": _damaged,
    "lines": _spliced,
    "near": _near,
    "grammar": _grammar,
    "odd": _odd,
}
