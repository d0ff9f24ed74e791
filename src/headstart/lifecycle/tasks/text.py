"""Text classification: hashed n-grams, or a Hugging Face encoder's embeddings."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import InputError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.lifecycle.tasks.checks import (
    check_columns,
    class_targets,
    first_classes,
    later_classes,
    texts,
)
from headstart.lifecycle.tasks.options import checked
from headstart.nn.models import MLP

__all__ = ["TextClassification"]

_WORD = re.compile(r"\w+", re.UNICODE)


@checked
def TextClassification(
    target: str = "label",
    *,
    text: str = "text",
    features: int = 2048,
    ngrams: tuple[int, int] = (1, 2),
    encoder: str | None = None,
    model: Any = None,
    hidden: Sequence[int] = (128,),
    group: str | None = None,
    slices: Sequence[str] = (),
    allow_new_classes: bool = False,
) -> Task:
    """Predicts a class from a text.

    Words in lower case; n-grams of words are hashed (CRC-32) into ``features`` counts, scaled to unit
    length. With ``encoder`` a frozen Hugging Face model gives mean-pooled embeddings instead.

    Args:
        target: column of the class.
        text: column of the text.
        features: number of hash buckets, at least 1.
        ngrams: shortest and longest n-gram, in words.
        encoder: name or folder of a Hugging Face model; needs ``headstart[hub]``.
        model: how to build the model on top (see :class:`Task`); a perceptron by default.
        hidden: hidden widths of the default perceptron.
        group, slices, allow_new_classes: as in the tabular task.
    """
    low, high = ngrams
    wanted = [text, target, *slices, *([group] if group else [])]
    width = functools.partial(_width, encoder, features)

    def vectors(rows: Rows) -> Tensor:
        documents = texts(rows, text)
        return _embedded(documents, encoder) if encoder else _hashed(documents, features, low, high)

    def infer(rows: Rows) -> Schema:
        check_columns(rows, wanted)
        texts(rows, text)
        column = {"kind": "text", "shape": []}
        return Schema({text: column}, first_classes(rows, target), {"input_shape": [width()]})

    def check(rows: Rows, schema: Schema) -> Schema:
        check_columns(rows, wanted)
        texts(rows, text)
        return later_classes(rows, schema, allow_new=allow_new_classes)

    return Task(
        name="text-classification",
        target=target,
        model=model if model is not None else functools.partial(_perceptron, hidden=tuple(hidden)),
        infer_schema=infer,
        check_rows=check,
        encode_rows=lambda rows, schema: Examples(vectors(rows), class_targets(rows, schema)),
        group=group,
        slices=tuple(slices),
        settings={"text": text, "features": features, "ngrams": [low, high], "encoder": encoder},
    )


def _hashed(documents: Sequence[str], features: int, low: int, high: int) -> Tensor:
    counts = np.zeros((len(documents), features), dtype=np.float32)
    for row, text in enumerate(documents):
        for gram in _grams(_WORD.findall(text.lower()), low, high):
            counts[row, zlib.crc32(gram.encode("utf-8", "surrogatepass")) % features] += 1.0
    norms = np.linalg.norm(counts, axis=1, keepdims=True)
    return torch.from_numpy(counts / np.maximum(norms, 1e-12))


def _grams(words: Sequence[str], low: int, high: int) -> Iterator[str]:
    for size in range(low, high + 1):
        for begin in range(len(words) - size + 1):
            yield " ".join(words[begin : begin + size])


def _load_encoder(name: str) -> tuple[Any, Any]:
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "an encoder needs transformers",
            where="task.encoder",
            got="not installed",
            fix="pip install 'headstart[hub]', or leave encoder out for hashed n-grams",
        ) from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        return tokenizer, transformers.AutoModel.from_pretrained(name).eval()
    except (OSError, ValueError) as error:
        raise InputError(
            "the encoder cannot be loaded",
            where="task.encoder",
            got=f"{name}: {str(error).splitlines()[0]}",
            fix="give the name of a Hugging Face encoder, or a folder that holds one",
        ) from error


@torch.no_grad()
def _embedded(documents: Sequence[str], name: str) -> Tensor:
    tokenizer, model = _load_encoder(name)
    parts = []
    for begin in range(0, len(documents), 64):
        some = list(documents[begin : begin + 64])
        batch = tokenizer(some, padding=True, truncation=True, return_tensors="pt")
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        parts.append((hidden * mask).sum(1) / mask.sum(1).clamp(min=1))
    return torch.cat(parts).float() if parts else torch.zeros(0, int(model.config.hidden_size))


def _width(encoder: str | None, features: int) -> int:
    return features if encoder is None else int(_load_encoder(encoder)[1].config.hidden_size)


def _perceptron(in_features: int, out_features: int, *, hidden: tuple[int, ...]) -> nn.Module:
    return MLP((in_features, *hidden, out_features))
