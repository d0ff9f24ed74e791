"""The contract of every discovered method: a run that begins with it resumes bitwise, none excepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability import resume
from benchmarks.reliability._campaign import Outcome, Setting
from headstart.lifecycle import train
from headstart.papers import discover, find


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return {o.figure: o for o in resume.run(Setting(folder=tmp_path_factory.mktemp("resume")))}


def test_every_method_resumes_bitwise(outcomes: dict[str, Outcome]) -> None:
    found = outcomes["R2"]
    assert found.violations == 0, found.examples
    assert {m.paper.slug for m in discover()} <= set(found.counts)
    stops = {step for case in resume._stops(Setting(folder=Path())) for step in case}
    assert len(stops) >= 3 and any(step % 5 for step in stops)  # an epoch has five steps


def test_the_same_seed_gives_the_same_bits_in_any_process(outcomes: dict[str, Outcome]) -> None:
    found = outcomes["R12"]
    assert found.violations == 0, found.examples
    assert found.counts["processes"] == 2


@pytest.mark.parametrize("forgotten", ["rng", "sums", "optimizer", "schedule"])
def test_the_contract_would_notice_what_is_not_restored(
    forgotten: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = train.Run.restore

    def forgetful(run: train.Run, tensors, document):
        fresh_tensors, fresh_document = run.state()
        kept = {k: v for k, v in tensors.items() if k.partition("/")[0] != forgotten}
        forgotten_tensors = {k: v for k, v in fresh_tensors.items() if k.partition("/")[0] == forgotten}
        if forgotten in ("optimizer", "schedule"):
            document = {**document, forgotten: fresh_document[forgotten]}
        restore(run, {**kept, **forgotten_tensors}, document)

    monkeypatch.setattr(train.Run, "restore", forgetful)
    monkeypatch.setattr(resume, "discover", lambda: [find("scratch")])
    monkeypatch.setattr(resume, "SETTINGS", {name: resume.SETTINGS[name] for name in ("sgd, cosine, clip",)})
    found = resume.resumed(Setting(folder=tmp_path))
    assert found.violations > 0


def test_eight_pieces_that_are_weighed_wrongly_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = train.Run._backward
    gap, slope, _ = resume.accumulation(0)
    assert gap < 1e-6 and abs(slope) < 1e-6
    monkeypatch.setattr(
        train.Run, "_backward", lambda run, indices, weight: backward(run, indices, weight * (1 + 1e-4))
    )
    gap, slope, _ = resume.accumulation(0)
    assert gap < 1e-6  # both are wrong alike
    monkeypatch.setattr(
        train.Run,
        "_backward",
        lambda run, indices, weight: backward(run, indices, weight * (1 + 1e-4 * (len(indices) == 1))),
    )
    assert abs(resume.accumulation(0)[1]) > 1e-6
