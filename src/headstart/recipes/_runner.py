"""Runs a recipe over its seeds and writes the result file; a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import InputError
from headstart.recipes._recipe import SCALES, Recipe, Summary, load

__all__ = ["run_recipe"]

Progress = Callable[[Mapping[str, Any]], None]


def run_recipe(
    slug: str,
    *,
    scale: str = "toy",
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Runs the recipe and writes ``<slug>.<scale>.json`` (and its figures) into the result folder.

    Each seed's numbers are kept beside the result until it is written, so a run that was stopped
    continues with the seeds that are missing.

    Args:
        slug: of the recipe.
        scale: toy (seconds), small (minutes on two cores) or full (the paper's setting).
        seeds: in place of the recipe's own.
        workers: processes, one seed each at a time.
        out: result file; ``results/<slug>.<scale>.json`` by default.
        progress: called after each seed.

    Raises:
        InputError: unknown recipe or scale, no seed.
    """
    recipe = load(slug)
    settings = _settings(recipe, scale)
    chosen = list(seeds) if seeds is not None else list(settings["seeds"])
    if not chosen or workers < 1:
        raise InputError(
            "a recipe needs at least one seed and one worker",
            where="seeds, workers",
            got=f"{chosen}, {workers}",
            fix="leave both out for the recipe's own",
        )
    path = Path(out) if out else Path("results") / f"{slug}.{scale}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    cache = _Cache(path, settings)
    missing = [seed for seed in chosen if cache.get(seed) is None]
    for count, (seed, raw) in enumerate(_each(slug, scale, missing, workers), start=1):
        cache.put(seed, raw)
        if progress:
            progress({"stage": "recipe", "message": f"seed {seed}", "step": count, "total": len(missing)})
    raws = [cache.get(seed) or {} for seed in chosen]
    summary = recipe.summarize(raws, settings)
    figures = recipe.draw(raws, path.parent) if recipe.draw else []
    _write(path, _result(recipe, scale, chosen, settings, raws, summary, figures, time.monotonic() - started))
    cache.clear()
    return path


def _settings(recipe: Recipe, scale: str) -> Mapping[str, Any]:
    if scale not in SCALES or scale not in recipe.scales:
        raise InputError(
            "this recipe has no such scale",
            where="scale",
            got=scale,
            fix=f"use one of: {', '.join(recipe.scales)}",
        )
    return recipe.scales[scale]


def _each(slug: str, scale: str, seeds: list[int], workers: int) -> Iterator[tuple[int, dict[str, Any]]]:
    if workers == 1 or len(seeds) <= 1:
        for seed in seeds:
            yield _one((slug, scale, seed))
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_one, [(slug, scale, seed) for seed in seeds])


def _one(job: tuple[str, str, int]) -> tuple[int, dict[str, Any]]:
    import torch

    torch.set_num_threads(1)  # one thread a seed: sums in the same order on every machine size
    slug, scale, seed = job
    recipe = load(slug)
    raw = recipe.one(seed, recipe.scales[scale])
    return seed, json.loads(json.dumps(raw))


class _Cache:
    """Raw numbers of finished seeds, in files beside the result."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        text = json.dumps({**settings, "seeds": None}, sort_keys=True, default=str)
        tag = hashlib.sha256(text.encode()).hexdigest()[:8]
        self.stem = path.with_suffix("")
        self.tag = tag

    def _path(self, seed: int) -> Path:
        return self.stem.parent / f".{self.stem.name}.{self.tag}.seed-{seed}.json"

    def get(self, seed: int) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads(self._path(seed).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value

    def put(self, seed: int, raw: dict[str, Any]) -> None:
        _write(self._path(seed), raw)

    def clear(self) -> None:
        for path in self.stem.parent.glob(f".{self.stem.name}.{self.tag}.seed-*.json"):
            path.unlink()


def _result(
    recipe: Recipe,
    scale: str,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    raws: Sequence[dict[str, Any]],
    summary: Summary,
    figures: Sequence[Path],
    seconds: float,
) -> dict[str, Any]:
    passed = [criterion.passed for criterion in summary.criteria]
    verdict = "reproduced" if all(passed) else "partly reproduced" if any(passed) else "not reproduced"
    return {
        "recipe": recipe.slug,
        "claim": recipe.claim,
        "scale": scale,
        "command": f"headstart recipe run {recipe.slug} --scale {scale}",
        "seeds": list(seeds),
        "settings": {key: value for key, value in settings.items() if key != "seeds"},
        "versions": _versions(),
        "verdict": verdict,
        "proves": dict(summary.proves) or {recipe.slug: verdict},
        "criteria": [criterion.__dict__ for criterion in summary.criteria],
        "table": {"columns": list(summary.columns), "rows": [list(row) for row in summary.rows]},
        "notes": list(summary.notes),
        "figures": [figure.name for figure in figures],
        "raw": dict(zip(map(str, seeds), raws, strict=True)),
        "seconds": round(seconds, 1),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("headstart", "torch", "numpy", "scikit-learn"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit("run recipes by `headstart recipe run SLUG`")
