"""Stored content changed behind the store's back: found when read, listed by verify, or without effect."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.reliability import corruption
from benchmarks.reliability._campaign import Setting
from headstart.lifecycle import artifact, seals


def test_nothing_wrong_is_read_as_if_it_were_right(tmp_path: Path) -> None:
    (found,) = corruption.run(Setting(folder=tmp_path))
    assert found.violations == 0, found.examples
    assert found.counts["found"] > 100 and found.cases == 150
    assert {kind.__name__.replace("_", " ") for kind in corruption.KINDS} <= set(found.counts)


def test_the_campaign_would_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "digest_of", lambda path: "0" * 64)
    monkeypatch.setattr(seals, "seal_of", lambda values: "0" * 64)
    whole = corruption.Whole(tmp_path)
    ends = [
        whole.case(kind, random.Random(n))[1]
        for n in range(8)
        for kind in (corruption.changed_row, corruption.flipped_bit)
    ]
    assert any(ends)
