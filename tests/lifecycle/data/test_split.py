"""Sides: stable, by group, with the shares asked for."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows, concat
from headstart.lifecycle.data.split import DEV, GATE, TRAIN, split


def table(start: int = 0, stop: int = 4000) -> Rows:
    numbers = np.arange(start, stop)
    return Rows({"x": numbers, "user": numbers // 7, "label": numbers % 2})


def test_the_side_of_a_row_is_the_documented_hash() -> None:
    rows = table(0, 50)
    for digest, side in zip(rows.row_digests(), split(rows, salt="s"), strict=True):
        raw = hashlib.sha256(f"s\x1f{digest}".encode()).digest()
        place = int.from_bytes(raw[:8], "big") / 2**64
        assert side == (GATE if place < 0.1 else DEV if place < 0.2 else TRAIN)


def test_a_row_keeps_its_side_in_every_arrival() -> None:
    sides = split(table(), salt="s")
    assert sides.dtype == np.int8
    np.testing.assert_array_equal(split(table().take(np.arange(3999, -1, -1)), salt="s"), sides[::-1])
    np.testing.assert_array_equal(split(table(100, 300), salt="s"), sides[100:300])
    as_floats = Rows({**table().columns, "x": np.arange(4000.0)})
    np.testing.assert_array_equal(split(as_floats, salt="s"), sides)
    huge = Rows({"x": np.array([2**62 + 1]), "user": np.array([0]), "label": np.array([0])})
    np.testing.assert_array_equal(split(concat([table(), huge]), salt="s")[:4000], sides)


def test_another_salt_draws_anew() -> None:
    first, second = split(table(), salt="s"), split(table(), salt="t")
    assert 0.25 < np.mean(first != second) < 0.45  # 1 - (0.8^2 + 0.1^2 + 0.1^2) = 0.34


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.2, 0.3), (1, 0, 0), (0, 0.5, 0.5)])
def test_the_shares_are_about_right(fractions: tuple[float, ...]) -> None:
    sides = split(table(), salt="s", fractions=fractions)
    shares = np.bincount(sides, minlength=3) / 4000
    for share, wanted in zip(shares, fractions, strict=True):
        assert abs(share - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / 4000)


def test_groups_stay_whole() -> None:
    sides = split(table(), salt="s", group="user")
    for user in range(4000 // 7):
        assert len(set(sides[user * 7 : user * 7 + 7])) == 1
    assert set(sides) == {TRAIN, DEV, GATE}


def test_the_target_does_not_move_a_row() -> None:
    flipped = Rows({**table().columns, "label": 1 - table().columns["label"]})
    np.testing.assert_array_equal(
        split(table(), salt="s", ignore=("label",)), split(flipped, salt="s", ignore=("label",))
    )
    assert (split(table(), salt="s") != split(flipped, salt="s")).any()


@pytest.mark.parametrize(
    "fractions",
    [(0.8, 0.2), (0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0, 1), 0.8, ("a", 0, 1), None],
)
def test_wrong_shares_are_refused(fractions: Any) -> None:
    with pytest.raises(InputError, match="add to 1"):
        split(table(), salt="s", fractions=fractions)


def test_an_unknown_group_or_no_column_left_is_refused() -> None:
    with pytest.raises(InputError, match="columns are: x, user, label"):
        split(table(), salt="s", group="customer")
    with pytest.raises(InputError, match="no column is left"):
        split(table(), salt="s", ignore=("x", "user", "label"))


def test_a_group_keeps_its_side_when_its_column_becomes_text():
    numbers = np.arange(200)
    mixed = Rows({"who": [*map(str, numbers), "A7"], "x": np.arange(201)})
    floats = Rows({"who": numbers.astype(float), "x": np.arange(200)})
    whole = Rows({"who": numbers, "x": np.arange(200)})
    sides = split(whole, salt="s", group="who")
    assert len(set(sides.tolist())) == 3
    assert sides.tolist() == split(floats, salt="s", group="who").tolist()
    assert sides.tolist() == split(mixed, salt="s", group="who")[:200].tolist()
