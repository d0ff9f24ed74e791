"""Tensors in safetensors files: tied ones once, wrappers' prefixes stripped, every fault a clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import CorruptionError

__all__ = ["load_tensors", "plain_name", "save_tensors"]

_ALIASES = "headstart.aliases"
_LARGEST_HEADER = 100 * 2**20


def plain_name(name: str) -> str:
    """A parameter's own name, without what torch.compile and DDP put before it."""
    return name.replace("_orig_mod.", "").removeprefix("module.")


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes tensors; those that share their storage are written once and remembered as the same."""
    unique: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for raw, tensor in tensors.items():
        name = plain_name(raw)
        key = (
            tensor.data_ptr(),
            tuple(tensor.shape),
            tuple(tensor.stride()),
            tensor.dtype,
            str(tensor.device),
        )
        if tensor.numel() and key in seen:
            aliases[name] = seen[key]
            continue
        seen[key] = name
        unique[name] = tensor.detach().cpu().contiguous().clone()
    save_file(unique, str(path), metadata={_ALIASES: json.dumps(aliases)})


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads tensors; those that were the same are the same object.

    Raises:
        CorruptionError: the file is no safetensors file of ours.
    """
    try:
        with open(path, "rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > min(_LARGEST_HEADER, path.stat().st_size):
            raise ValueError(f"a header of {header} bytes")
        with safe_open(str(path), framework="pt") as opened:
            tensors = {name: torch.clone(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
            aliases = json.loads((opened.metadata() or {}).get(_ALIASES, "{}"))
            return tensors | {name: tensors[source] for name, source in aliases.items()}
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CorruptionError(
            str(path), expected="a safetensors file", found=f"{type(error).__name__}: {error}"
        ) from error
