"""Tensors in safetensors files: tied ones once, wrappers' prefixes stripped, every fault a clear error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import CorruptionError, InputError
from headstart.lifecycle.durable import tensors_file
from headstart.lifecycle.untrusted import check_header, metadata, read_header

__all__ = ["load_tensors", "plain_names", "plain_weights", "save_tensors"]

_ALIASES = "headstart.aliases"


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Each name of a state dict, and the name without what ``torch.compile`` and DDP put before it.

    ``_orig_mod`` goes wherever it stands; ``module.`` goes where every name begins with it, as DDP's do.

    Raises:
        InputError: two names become the same.
    """
    plain = {name: ".".join(part for part in name.split(".") if part != "_orig_mod") for name in names}
    if plain and all(name.startswith("module.") for name in plain.values()):
        plain = {raw: name.removeprefix("module.") for raw, name in plain.items()}
    if len(set(plain.values())) < len(plain):
        raise InputError(
            "two weights have the same name once the wrappers' prefixes are gone",
            where="weights",
            got=", ".join(sorted({n for n in plain.values() if list(plain.values()).count(n) > 1})[:5]),
            fix="give the state dict of one model, not of a model and its wrapper",
        )
    return plain


def plain_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict under its plain names."""
    return {plain: weights[raw] for raw, plain in plain_names(weights).items()}


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes tensors; those that are the same memory are written once and remembered as the same.

    The bytes depend on names, values and ties alone, not on the order of the mapping.

    Raises:
        InputError: a value is no dense tensor, has a kind that safetensors does not know, or there are too
            many names.
        StoreError: the file cannot be written.
    """
    unique: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, tensor in sorted(tensors.items()):
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_meta:
            raise InputError(
                "only dense tensors that hold values can be stored",
                where=f"weights, {name}",
                got=f"{tensor.layout} on {tensor.device}" if isinstance(tensor, Tensor) else tensor,
                fix="make it dense (`.to_dense()`) and materialize it, or put plain values into a document",
            )
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and key in seen:
            aliases[name] = seen[key]
            continue
        seen[key] = name
        unique[name] = tensor.detach().cpu().contiguous().clone()
    try:
        with tensors_file(path):
            save_file(unique, str(path), metadata={_ALIASES: json.dumps(aliases)})
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InputError(
            "safetensors does not take these tensors",
            where="weights",
            got=f"{type(error).__name__}: {error}",
            fix="use plain floating, integer or bool tensors, and names that are Unicode text",
        ) from error
    check_header(path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads tensors; those that were the same are the same object.

    Raises:
        CorruptionError: the file is no safetensors file of ours.
    """
    header = read_header(path)
    try:
        aliases = _aliases(header)
        with safe_open(str(path), framework="pt") as opened:
            tensors = {name: torch.clone(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
        return tensors | {name: tensors[source] for name, source in aliases.items()}
    except (
        SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError
    ) as error:  # fmt: skip
        raise CorruptionError(
            str(path), expected="a safetensors file", found=f"{type(error).__name__}: {error}"
        ) from error


def _aliases(header: dict[str, Any]) -> dict[str, str]:
    """The names of tensors that are another one; looked at before anything is read."""
    aliases: dict[str, str] = metadata(header, _ALIASES) or {}
    if not set(aliases.values()) <= header.keys() or header.keys() & aliases.keys():
        raise ValueError("aliases that lead to no tensor, or hide one")
    return aliases
