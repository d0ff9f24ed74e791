"""Language modeling: windows, scores and the unigram baseline."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks import LanguageModel, Schema, score

IGNORED = -100


def rows(*texts: Any, **more: Any) -> Rows:
    return Rows({"text": np.array(texts, dtype=object), **more}, "book.txt")


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.lists(st.text("abcd", min_size=2, max_size=23), min_size=1, max_size=4), st.integers(2, 9))
def test_windows_never_cross_rows_and_targets_are_the_next_tokens(texts: list[str], context: int) -> None:
    task = LanguageModel(context=context)
    schema = task.infer(rows(*texts))
    vocabulary = schema.encoding["vocabulary"]
    examples = task.encode(rows(*texts), schema)
    inputs, targets = torch.as_tensor(examples.inputs), examples.targets
    assert inputs.shape == targets.shape == (len(examples), context) and examples.rows is not None
    for row, text in enumerate(texts):
        chosen = examples.rows == row
        kept = targets[chosen] != IGNORED
        read = "".join(vocabulary[int(t)] for t in inputs[chosen][kept])
        goal = "".join(vocabulary[int(t)] for t in targets[chosen][kept])
        assert read == text[:-1] and goal == text[1:]
        assert chosen.sum() == math.ceil((len(text) - 1) / context) and kept.any(1).all()


def test_scores_are_the_mean_negative_log_likelihood() -> None:
    task = LanguageModel(context=4)
    data = rows("abcab", "ba", "cabcabcab")
    examples = task.encode(data, task.infer(data))
    logits = torch.randn(len(examples), 4, 5, generator=torch.Generator().manual_seed(0))
    truth, every = [], []
    for window, goal in zip(logits.double().numpy(), examples.targets.numpy(), strict=True):
        logs = window - np.log(np.exp(window).sum(-1, keepdims=True))
        kept = [logs[i, t] for i, t in enumerate(goal) if t != IGNORED]
        truth.append(np.mean(kept))
        every += kept
    np.testing.assert_allclose(task.scores(logits, examples.targets), truth, rtol=1e-5)
    assert task.loss(logits, examples.targets).item() == pytest.approx(-np.mean(every), rel=1e-5)
    assert not task.binary


def test_the_unigram_baseline_in_closed_form() -> None:
    task = LanguageModel(context=8)
    data = rows("abbb", "cab")
    schema = task.infer(data)
    assert schema.encoding["vocabulary"] == ["\ufffd", "a", "b", "c"]
    train, other = task.encode(rows("abbb"), schema), task.encode(rows("cab", "aa"), schema)
    # Targets b, b, b; one is added to each token up to the largest seen, that is to the four of "?ab".
    a, b = math.log(1 / 6), math.log(4 / 6)
    assert task.baseline(train, other).tolist() == pytest.approx([(a + b) / 2, a])


def test_json_round_trip_unknown_characters_and_surrogates() -> None:
    task = LanguageModel(context=4, max_unknown=0.25)
    schema = task.infer(rows("héllo \ud800 wörld"))
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    later = rows("hell", "loXo")
    assert task.check(later, again) == schema
    one, two = task.encode(later, schema), task.encode(later, again)
    assert torch.equal(torch.as_tensor(one.inputs), torch.as_tensor(two.inputs))
    assert int((torch.as_tensor(one.inputs) == 0).sum()) == 2 + 2  # padding of two windows, e and X
    with pytest.raises(InputError, match="4 of 8"):
        task.check(rows("hell", "XYZo"), schema)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (rows("ab", "", "abc", "a"), ["rows 2, 4", "too short"]),
        (rows(b"ab"), ["column text"]),
        (Rows({"text": np.arange(3)}), ["column text"]),
        (Rows({"body": np.array(["abc"])}), ["no text"]),
    ],
)
def test_data_without_documents_are_refused(data: Rows, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        LanguageModel().infer(data)
    assert all(caught.value.to_dict().values()) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "options",
    [
        {"context": 1}, {"context": 2.5}, {"context": "64"}, {"context": True}, {"max_unknown": 1.5},
        {"max_unknown": float("nan")}, {"max_unknown": "0.1"}, {"width": 0}, {"width": "64"}, {"depth": 0},
        {"slices": "text"}, {"tokenizer": 5}, {"text": None}, {"width": 30},
    ],
)  # fmt: skip
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        LanguageModel(**options)
    assert f"task.{next(iter(options))}" in caught.value.where and all(caught.value.to_dict().values())


def test_an_unknown_tokenizer_is_refused(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="tokenizer"):
        LanguageModel(tokenizer=str(tmp_path)).infer(rows("abc"))


def test_the_default_model_is_causal_and_scored_window_by_window() -> None:
    task = LanguageModel(context=6, width=16, depth=1)
    data = rows("abcdefghijk", "hgfedcba")
    schema = task.infer(data)
    torch.manual_seed(0)
    model = task.build(schema).eval()
    tokens = torch.as_tensor(task.encode(data, schema).inputs)
    changed = tokens.clone()
    changed[:, 4:] = 1
    before, after = model(tokens), model(changed)
    assert before.shape == (len(tokens), 6, 12)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])
    assert score(task, model, task.encode(data, schema)).shape == (len(tokens),)
    assert not model.training
