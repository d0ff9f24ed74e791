"""Text classification by hashed n-grams."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks import Schema, TextClassification


def rows(texts: list[Any], **more: Any) -> Rows:
    return Rows(
        {"text": np.array(texts, dtype=object), "label": np.arange(len(texts)) % 2, **more}, "mail.csv"
    )


def hashed(text: str, **options: Any) -> torch.Tensor:
    task = TextClassification(**options)
    data = rows([text, "other"])
    return torch.as_tensor(task.encode(data, task.infer(data)).inputs)[0]


def test_the_hash_is_the_same_everywhere_and_always() -> None:
    # CRC-32 of "hello", "world" and "hello world" modulo 2048, written down once.
    found = hashed("Hello, WORLD!")
    places = {word: zlib.crc32(word.encode()) % 2048 for word in ("hello", "world", "hello world")}
    assert places == {"hello": 1670, "world": 323, "hello world": 389}
    expected = torch.zeros(2048)
    expected[list(places.values())] = 3**-0.5
    torch.testing.assert_close(found, expected)


def test_counts_are_scaled_to_unit_length_and_an_empty_text_is_zeros() -> None:
    found = hashed("b b b c", ngrams=(1, 1), features=1000)
    at_b, at_c = zlib.crc32(b"b") % 1000, zlib.crc32(b"c") % 1000
    assert found[at_b].item() == pytest.approx(3 / 10**0.5) and found[at_c].item() == pytest.approx(
        1 / 10**0.5
    )
    assert found.norm().item() == pytest.approx(1.0)
    assert not hashed("").any() and not hashed(" ?! ").any()


def test_ngrams_of_other_lengths_and_any_script() -> None:
    assert int((hashed("a b c d", ngrams=(2, 3), features=10**5) > 0).sum()) == 3 + 2
    assert int((hashed("naïve 日本 слово \ud800x", ngrams=(1, 1), features=10**5) > 0).sum()) >= 4
    assert hashed("x", features=1).tolist() == [1.0]


def test_json_round_trip_and_later_arrivals() -> None:
    task = TextClassification(allow_new_classes=True, features=64)
    first = rows(["one", "two", "three"])
    schema = task.infer(first)
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    later = rows(["four", "two"]).drop("label")
    later = Rows({**later.columns, "label": np.array([7, 1])})
    wide = task.check(later, again)
    assert wide.target["classes"] == [0, 1, 7]
    examples = task.encode(later, wide)
    assert examples.targets.tolist() == [2, 1]
    assert torch.equal(
        torch.as_tensor(examples.inputs)[1], torch.as_tensor(task.encode(first, schema).inputs)[1]
    )
    assert task.build(wide)(torch.as_tensor(examples.inputs)).shape == (2, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (rows([1.0, 2.0]), ["column text", "float64"]),
        (rows([b"a", b"b"]), ["column text", "bytes"]),
        (rows(["a", "b"]).drop("text"), ["no text"]),
        (rows(["a", "b"]).drop("label"), ["no label"]),
        (rows(["a"]), ["one class only"]),
    ],
)
def test_data_without_text_are_refused(data: Rows, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TextClassification().infer(data)
    assert all(caught.value.to_dict().values()) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "options",
    [
        {"features": 0}, {"features": 2.5}, {"features": True}, {"ngrams": (2, 1)}, {"ngrams": (0, 1)},
        {"ngrams": (1, 9)}, {"ngrams": "12"}, {"ngrams": 2}, {"ngrams": (True, 2)}, {"slices": "text"},
        {"hidden": [-1]}, {"text": 5}, {"allow_new_classes": "yes"}, {"encoder": 5},
    ],
)  # fmt: skip
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        TextClassification(**options)
    assert f"task.{next(iter(options))}" in caught.value.where and all(caught.value.to_dict().values())


def test_settings_are_part_of_the_identity() -> None:
    one, two = TextClassification(features=8).describe(), TextClassification(features=9).describe()
    assert one != two and json.loads(json.dumps(one)) == one
    assert TextClassification(hidden=(8,)).describe() != TextClassification(hidden=(9,)).describe()
