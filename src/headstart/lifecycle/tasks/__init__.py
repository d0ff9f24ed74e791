"""Tasks: what is being learned. Built in ones, and :class:`Task` for a user's own."""

from __future__ import annotations

from headstart.lifecycle.tasks.base import Examples, Schema, Task, predict, score
from headstart.lifecycle.tasks.configured import task_from_config
from headstart.lifecycle.tasks.image import ImageClassification
from headstart.lifecycle.tasks.language import LanguageModel
from headstart.lifecycle.tasks.tabular import TabularClassification, TabularRegression
from headstart.lifecycle.tasks.text import TextClassification

__all__ = [
    "Examples",
    "ImageClassification",
    "LanguageModel",
    "Schema",
    "TabularClassification",
    "TabularRegression",
    "Task",
    "TextClassification",
    "predict",
    "score",
    "task_from_config",
]
