"""Causal language modeling on characters, or on a Hugging Face tokenizer's tokens."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.lifecycle.tasks.checks import check_columns, places, texts
from headstart.lifecycle.tasks.options import checked
from headstart.nn.models import CausalTransformer

__all__ = ["LanguageModel"]

_IGNORED = -100
_UNKNOWN = "\ufffd"


@checked
def LanguageModel(
    *,
    text: str = "text",
    context: int = 64,
    tokenizer: str = "char",
    model: Any = None,
    width: int = 64,
    depth: int = 2,
    max_unknown: float = 0.05,
    group: str | None = None,
    slices: Sequence[str] = (),
) -> Task:
    """Predicts the next token of a text.

    A row is a document; it is cut into windows of ``context`` tokens that never cross rows. The loss
    is the mean cross-entropy per token in nats; the score of a window is its negative.

    Args:
        text: column of the text.
        context: tokens in a window, at least 2.
        tokenizer: ``char`` (vocabulary of the first arrival), or the name of a Hugging Face tokenizer.
        model: how to build the model (see :class:`Task`); a small transformer by default.
        width, depth: of the default transformer; the width a multiple of 4.
        max_unknown: largest share of characters of an arrival that the vocabulary may miss, in [0, 1].
        group, slices: as in the tabular task.
    """
    wanted = [text, *slices, *([group] if group else [])]

    def infer(rows: Rows) -> Schema:
        check_columns(rows, wanted)
        return _first_vocabulary(_documents(rows, text), text, context, tokenizer)

    def check(rows: Rows, schema: Schema) -> Schema:
        check_columns(rows, wanted)
        _check_unknown(rows, _documents(rows, text), schema, max_unknown)
        return schema

    def encode(rows: Rows, schema: Schema) -> Examples:
        return _windows(_tokens(_documents(rows, text), schema, tokenizer), context)

    builder = functools.partial(_transformer, context=context, width=width, depth=depth)
    return Task(
        name="language-model",
        target="",
        model=model if model is not None else builder,
        infer_schema=infer,
        check_rows=check,
        encode_rows=encode,
        loss_fn=_loss,
        score_fn=lambda outputs, targets: -_window_losses(outputs, targets),
        baseline_fn=_unigram,
        metric="negative cross-entropy per token, nats",
        binary=False,
        group=group,
        slices=tuple(slices),
        settings={"text": text, "context": context, "tokenizer": tokenizer},
    )


def _first_vocabulary(documents: Sequence[str], text: str, context: int, tokenizer: str) -> Schema:
    vocabulary: list[str] = []
    if tokenizer == "char":
        vocabulary = [_UNKNOWN, *sorted(set("".join(documents)) - {_UNKNOWN})]
    size = len(vocabulary) or len(_hugging_face(tokenizer))
    return Schema(
        {text: {"kind": "text", "shape": []}},
        {"column": text, "kind": "token", "size": size},
        {"input_shape": [context], "vocabulary": vocabulary},
    )


def _check_unknown(rows: Rows, documents: Sequence[str], schema: Schema, most: float) -> None:
    joined = "".join(documents)
    known = set(schema.encoding["vocabulary"])
    unknown = sum(character not in known for character in joined) if known else 0
    if unknown > most * len(joined):
        raise InputError(
            "too many characters are not in the vocabulary",
            where=f"{rows.source}, column {schema.target['column']}",
            got=f"{unknown} of {len(joined)}",
            fix="check the text's language and encoding, or raise max_unknown in the task",
        )


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED)


def _window_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    losses = nn.functional.cross_entropy(
        outputs.transpose(1, 2), targets, ignore_index=_IGNORED, reduction="none"
    )
    return losses.sum(1) / (targets != _IGNORED).sum(1).clamp(min=1)


def _unigram(train: Tensor, other: Tensor) -> Tensor:
    size = int(max(train.max(), other.max())) + 1
    counts = torch.bincount(train[train != _IGNORED], minlength=size).double() + 1.0
    logs = (counts / counts.sum()).log()
    mask = other != _IGNORED
    sums = (logs[other.clamp(min=0)] * mask).sum(1)
    return (sums / mask.sum(1).clamp(min=1)).float()


def _windows(documents: Sequence[Tensor], context: int) -> Examples:
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    rows: list[int] = []
    for row, tokens in enumerate(documents):
        # A document of one token (some tokenizers make them) has nothing to predict and gives no window.
        for begin in range(0, len(tokens) - 1, context):
            piece = tokens[begin : begin + context + 1]
            window = torch.zeros(context, dtype=torch.int64)
            goal = torch.full((context,), _IGNORED, dtype=torch.int64)
            window[: len(piece) - 1] = piece[:-1]
            goal[: len(piece) - 1] = piece[1:]
            inputs.append(window)
            targets.append(goal)
            rows.append(row)
    if not rows:
        nothing = torch.zeros((0, context), dtype=torch.int64)
        return Examples(nothing, nothing, torch.zeros(0, dtype=torch.int64))
    return Examples(torch.stack(inputs), torch.stack(targets), torch.tensor(rows))


def _tokens(documents: Sequence[str], schema: Schema, tokenizer: str) -> list[Tensor]:
    if tokenizer == "char":
        numbers = {character: index for index, character in enumerate(schema.encoding["vocabulary"])}
        return [
            torch.tensor([numbers.get(c, 0) for c in document], dtype=torch.int64) for document in documents
        ]
    encode = _hugging_face(tokenizer)
    return [torch.tensor(encode(document)["input_ids"], dtype=torch.int64) for document in documents]


def _documents(rows: Rows, name: str) -> list[str]:
    values = texts(rows, name)
    short = np.array([len(value) < 2 for value in values], dtype=bool)
    if short.any():
        raise InputError(
            "a document is too short to predict a next token",
            where=f"{rows.source}, column {name}, {places(short)}",
            got="fewer than 2 characters",
            fix="leave empty documents out",
        )
    return values


def _hugging_face(name: str) -> Any:
    try:
        import transformers

        return transformers.AutoTokenizer.from_pretrained(name)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(
            "the tokenizer cannot be loaded",
            where="task.tokenizer",
            got=f"{name}: {str(error).splitlines()[0]}",
            fix="use 'char', or pip install 'headstart[hub]' and give a tokenizer's name or folder",
        ) from error


def _transformer(vocab_size: int, *, context: int, width: int, depth: int) -> nn.Module:
    return CausalTransformer(vocab_size, context, width, depth)
