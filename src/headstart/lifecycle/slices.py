"""What the gate reads: paired values, protected slices and groups, checked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.errors import InputError

__all__ = ["Array", "Slices", "binary", "by_group", "finite", "group_codes", "slice_members"]

Array = np.ndarray[Any, Any]
Slices = Mapping[str, Any] | Sequence[Hashable] | None


def finite(values: Any, name: str) -> Array:
    """(n,) finite numbers from a list, an array or a tensor.

    Raises:
        InputError: not one list of finite numbers; names the first bad item.
    """
    array = _array(values, name)
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise InputError(
            "a score is not finite",
            where=f"{name}, item {wrong[0]}",
            got=array[wrong[0]],
            fix="check the model's outputs",
        )
    return array


def binary(values: Any, name: str) -> Array:
    """(n,) bool from right or wrong, given as booleans or as 1 and 0.

    Raises:
        InputError: not one list of them; names the first bad item.
    """
    array = _array(values, name)
    wrong = np.flatnonzero((array != 0) & (array != 1))
    if len(wrong):
        raise InputError(
            "right or wrong must be True/False or 1/0",
            where=f"{name}, item {wrong[0]}",
            got=array[wrong[0]],
            fix="give right or wrong, or use compare_scores for other scores",
        )
    return array.astype(bool)


def group_codes(groups: Sequence[Hashable] | None, n: int) -> Array | None:
    """(n,) whole numbers, the same for items of the same group; None without groups.

    Raises:
        InputError: not one group for each item, or a group is missing (None or NaN).
    """
    if groups is None:
        return None
    if len(groups) != n:
        raise InputError(
            "there must be one group for each item",
            where="groups",
            got=f"{len(groups)} for {n} items",
            fix="give n groups",
        )
    numbers: dict[Hashable, int] = {}
    return np.array(
        [numbers.setdefault(_label(g, f"groups, item {i}"), len(numbers)) for i, g in _each(groups)]
    )


def by_group(values: Array, codes: Array) -> tuple[Array, Array]:
    """(g,) sum of the values and (g,) number of items in each group."""
    _, index = np.unique(codes, return_inverse=True)
    return np.bincount(index, weights=values), np.bincount(index).astype(float)


def slice_members(slices: Slices, n: int) -> dict[str, Array]:
    """Item numbers of each slice, by name.

    Args:
        slices: name to mask or item numbers; or one label for each item.
        n: items there are.

    Raises:
        InputError: a mask or the labels are of another length than the items, a number is out of range
            or given twice, or a slice is empty.
    """
    if slices is None:
        return {}
    if isinstance(slices, Mapping):
        return {str(name): _members(str(name), members, n) for name, members in slices.items()}
    if len(slices) != n:
        raise InputError(
            "there must be one slice label for each item",
            where="slices",
            got=f"{len(slices)} for {n} items",
            fix="give n labels",
        )
    places: dict[str, list[int]] = {}
    for place, label in _each(slices):
        places.setdefault(str(_label(label, f"slices, item {place}")), []).append(place)
    return {name: np.array(members) for name, members in places.items()}


def _each(values: Sequence[Hashable]) -> enumerate[Any]:
    plain: Any = values.tolist() if hasattr(values, "tolist") else values
    return enumerate(plain)


def _label(value: Any, where: str) -> Hashable:
    # NaN is the one value that differs from itself.
    if value is None or value != value or not isinstance(value, Hashable):
        raise InputError(
            "a label is missing or is no single value",
            where=where,
            got=value,
            fix="give every item a string or a number",
        )
    return value


def _members(name: str, members: Any, n: int) -> Array:
    array = np.asarray(members.detach().cpu() if hasattr(members, "detach") else members)
    mask = array.dtype == bool
    numbers = mask or array.dtype.kind in "iu"
    index = np.flatnonzero(array) if mask else array
    wrong = array.ndim != 1 or not numbers or (mask and len(array) != n) or index.size == 0
    # A number given twice is most often a mask of 0 and 1 that was not made of booleans.
    if wrong or index.min() < 0 or index.max() >= n or len(np.unique(index)) < len(index):
        raise InputError(
            "a slice is no mask of the items and no list of their numbers",
            where=f"slice {name}",
            got=f"{array.dtype}, shape {list(array.shape)}",
            fix=f"give {n} booleans, or different numbers from 0 to {n - 1}; leave empty slices out",
        )
    return np.asarray(np.sort(index))


def _array(values: Any, name: str) -> Array:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(
            "the values are no numbers", where=name, got=str(error), fix="give one number for each item"
        ) from error
    if array.ndim != 1:
        raise InputError(
            "the values must be one list",
            where=name,
            got=f"shape {list(array.shape)}",
            fix="give one value for each item",
        )
    return array
