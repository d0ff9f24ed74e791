"""What each verb hands down, prints and returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.cli._common import print_table
from headstart.cli._progress import progress_line, render
from headstart.cli._run import split_starts
from headstart.cli.recipe import parse_seeds
from headstart.errors import InputError
from headstart.lifecycle.budget import Budget
from headstart.lifecycle.verify import Problem

from .cli_fakes import MINIMAL, RECORD, FakeStore, replace_module

Run = Callable[..., Any]


def test_update_hands_down_the_file_with_the_flags_on_top(run: Run, api: Any, config: Path) -> None:
    result = run(
        *("update", "--data", "tuesday.csv", "--store", "store", "--starts", "scratch,warm", "--steps", "50"),
        *(
            "--seed",
            "4",
            "--gate-data",
            "gate.csv",
            "--set",
            "train.lr=0.5",
            "--set",
            "train.schedule=cosine",
        ),
        *("--set", "race.share=0"),
    )
    assert result.exit_code == 0, result.output
    ((name, (task, store, data), options),) = api.calls
    assert (name, data, store.location) == ("update", "tuesday.csv", "store")
    assert task == ("tabular-classification", {"target": "label"})
    assert options["budget"] == Budget(steps=50)
    assert (options["seed"], options["starts"], options["gate_data"]) == (4, ("scratch", "warm"), "gate.csv")
    assert (options["train"].lr, options["train"].schedule, options["race"].share) == (0.5, "cosine", 0)
    assert options["progress"] is None  # standard error is no terminal


def test_update_tells_the_decision_its_reasons_and_its_cost(run: Run, api: Any, config: Path) -> None:
    text = run("update").stdout
    for part in (
        "promote",
        "aaaaaaaaaaaa",
        "warm",
        "better on 30",
        "0.9100",
        "120 steps",
        "labels shifted",
        "report.html",
    ):
        assert part in text
    assert "\x1b" not in text


def test_update_prints_strict_json(run: Run, api: Any, config: Path) -> None:
    result = run("update", "--json")
    assert json.loads(result.stdout)["loss"] is None
    assert json.loads(result.stdout)["decision"] == "promote"


@pytest.mark.parametrize(("decision", "code"), [("promote", 0), ("hold", 1), ("reject", 1)])
def test_update_checks_only_when_asked(decision: str, code: int, run: Run, api: Any, config: Path) -> None:
    api.record["decision"] = decision
    assert run("update", "--check").exit_code == code
    assert run("update").exit_code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--steps", "0"], "budget.steps"),
        (
            ["--set", "train.lr=-1", "--set", "train.epoch=3"],
            "train.epoch: unknown key, did you mean 'epochs'?",
        ),
        (["--set", "train.lr"], "not an assignment"),
        (["--set", "=3"], "not an assignment"),
        (["--set", "seed.x=3"], "seed"),
        (["--set", "seed=1\nstore='x'"], "seed"),
        (["--starts", ","], "starts"),
        (["--config", "other.toml"], "headstart init"),
        (["--seed", "-1"], "seed"),
        (["--seconds", "nan"], "budget.seconds"),
    ],
)
def test_update_refuses_wrong_flags(
    words: list[str], expected: str, run: Run, api: Any, config: Path, fails: Callable[..., str]
) -> None:
    assert expected in fails(run("update", *words))
    assert api.calls == []


def test_update_needs_data_and_a_store(run: Run, api: Any, tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "headstart.toml").write_text("[task]\nkind = 'x'\n")
    assert "--data" in fails(run("update"))
    assert "no store is named" in fails(run("update", "--data", "x.csv"))


def test_the_store_is_the_flags_then_the_files_then_the_environments(
    run: Run, store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    assert "no store is named" in fails(run("log"))
    for name in ("environment", "flag", "file"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "store.db").touch()
    monkeypatch.setenv("HEADSTART_STORE", "environment")
    assert run("log").exit_code == 0 and store.location == "environment"
    (tmp_path / "headstart.toml").write_text(MINIMAL.replace('"store"', '"file"'))
    assert run("log").exit_code == 0 and store.location == "file"
    assert run("log", "--store", "flag").exit_code == 0 and store.location == "flag"
    assert "there is no store here" in fails(run("log", "--store", "typo"))
    assert not (tmp_path / "typo").exists()
    (tmp_path / "empty").mkdir()
    assert "there is no store here" in fails(run("log", "--store", "empty"))
    assert not list((tmp_path / "empty").iterdir())


def test_race_prints_the_ranking(run: Run, api: Any, config: Path) -> None:
    entrant = {"status": "won", "score": 0.9, "steps": 30, "samples": 300}
    api.ranking = [{"label": "warm", **entrant}, {"label": "scratch", **entrant, "score": None}]
    text = run("race").stdout
    assert text.index("warm") < text.index("scratch") and "60 steps in all" in text
    assert json.loads(run("race", "--json").stdout)[1]["score"] is None


VERDICT = {
    "decision": "hold",
    "reasons": ["too few items"],
    "overall": {"n": 10, "b": 2, "c": 1, "d": 0.1, "lower": -0.2, "margin": 0.01, "p_value": 0.5},
    "slices": [{"name": "region=north", "n": 4, "b": 0, "c": 1, "d": -0.25, "lower": -0.6, "margin": 0.05}],
    "regressed": [3],
}


def test_gate_judges_a_version(run: Run, api: Any, config: Path) -> None:
    api.judged = {"verdict": VERDICT}
    result = run("gate", "--candidate", "bb", "--margin", "0.02")
    assert result.exit_code == 0, result.output
    ((_, (_, _, candidate), options),) = api.calls
    assert candidate == "bb" and options["gate"].margin == 0.02
    for part in (
        "hold",
        "too few items",
        "region=north",
        "-0.2500",
        "items that got worse, counted from 0: 3",
    ):
        assert part in result.stdout
    assert run("gate", "--candidate", "bb", "--check").exit_code == 1
    assert json.loads(run("gate", "--candidate", "bb", "--json").stdout) == VERDICT


def test_gate_shows_a_verdict_without_items(run: Run, api: Any, config: Path) -> None:
    api.judged = {"verdict": {"decision": "hold", "reasons": ["no item"], "overall": None, "slices": []}}
    assert run("gate", "--candidate", "b").stdout == "hold\n  no item\n"


def test_gate_needs_data_to_judge_a_version_by(
    run: Run, api: Any, config: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    monkeypatch.setattr(FakeStore, "arrivals", lambda store: [])
    assert "no data to judge by" in fails(run("gate", "--candidate", "b"))
    assert api.calls == []


def test_gate_wants_either_a_file_or_a_version(run: Run, config: Path, fails: Callable[..., str]) -> None:
    assert "neither" in fails(run("gate"))
    assert "both" in fails(run("gate", "x.csv", "--candidate", "b"))


def test_promote_by_hand_says_so_unless_the_gate_was_passed(run: Run, store: FakeStore, config: Path) -> None:
    result = run("promote", "b", "--reason", "hot fix")
    assert result.exit_code == 0, result.output
    assert store.promoted == [
        ("b" * 64, {"expected": "a" * 64, "reason": "hot fix (by hand, no gate was passed)", "verdict": None})
    ]
    assert json.loads(run("promote", "a", "--reason", "again", "--json").stdout)["gate_passed"] is True
    assert store.promoted[1][1] == {"expected": "a" * 64, "reason": "again", "verdict": RECORD["verdict"]}
    assert run("promote", "zz", "--reason", "x").exit_code == 1


def test_rollback_log_and_show(run: Run, store: FakeStore, config: Path) -> None:
    assert json.loads(run("rollback", "--json").stdout)["champion"] == "b" * 64
    assert run("rollback", "--to", "a").stdout.startswith("champion aaaaaaaaaaaa")
    lines = run("log").stdout.splitlines()
    assert "2026-01-02 00:00:00" in lines[1] and "better" in lines[1] and "the first" in lines[2]
    assert len(json.loads(run("log", "--limit", "1", "--json").stdout)) == 1
    assert "(champion)" in run("show").stdout
    assert "model.safetensors" in run("show", "b").stdout and "(champion)" not in run("show", "b").stdout
    assert json.loads(run("show", "b", "--json").stdout)["champion"] is False


def test_report_is_written_again(run: Run, api: Any, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, Path]] = []

    def write(story: Any, folder: Path) -> Path:
        written.append((story, folder))
        return folder / "report.html"

    monkeypatch.setattr("headstart.report.write", write, raising=False)
    assert str(Path("page") / "report.html") in run("report", "--out", "page").stdout
    assert json.loads(run("report", "--json").stdout)["story"] == {"arrivals": []}
    assert [folder for _, folder in written] == [Path("page"), Path("store") / "report"]


def test_demo_prints_its_arrivals(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = {**RECORD, "rows_total": 300, "rows_new": 100}
    totals = {"steps_spent": 10, "steps_scratch": 30, "score_final": 0.97, "score_scratch_final": 0.96}
    seen: list[tuple[Path, int]] = []

    def demo(out: Path, *, seed: int, progress: Any) -> dict[str, Any]:
        seen.append((out, seed))
        return {"arrivals": [arrival], "totals": totals}

    replace_module(monkeypatch, "headstart.demo", run=demo)
    text = run("demo", "--out", "d", "--seed", "3").stdout
    assert (
        "score 0.9700 with 10 steps" in text
        and "score 0.9600 with 30 steps" in text
        and "report.html" in text
    )
    assert json.loads(run("demo", "--out", "d", "--json").stdout)["totals"] == totals
    assert seen == [(Path("d"), 3), (Path("d"), 0)]


def test_recipe_runs_with_its_seeds(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: Callable[..., str]
) -> None:
    (tmp_path / "some_claim.py").write_text('"""Shows a claim.\n\nMore."""\n')
    (tmp_path / "_runner.py").write_text("")
    monkeypatch.setattr("headstart.cli.recipe._FOLDER", tmp_path)
    calls: list[tuple[str, dict[str, Any]]] = []

    def run_recipe(slug: str, **options: Any) -> Path:
        calls.append((slug, options))
        return Path("results/some-claim.toy.json")

    replace_module(monkeypatch, "headstart.recipes._runner", run_recipe=run_recipe)
    assert json.loads(run("recipe", "list", "--json").stdout) == [
        {"slug": "some-claim", "verdict": "not yet", "about": "Shows a claim."}
    ]
    words = ("recipe", "run", "some-claim", "--scale", "toy", "--seeds", "0-2,7", "--out", "r.json")
    assert "some-claim.toy.json" in run(*words).stdout
    assert calls == [
        (
            "some-claim",
            {"scale": "toy", "seeds": [0, 1, 2, 7], "workers": 1, "out": Path("r.json"), "progress": None},
        )
    ]
    assert "some-claim" in fails(run("recipe", "run", "some-clam"))
    assert "--seeds" in fails(run("recipe", "run", "some-claim", "--seeds", "3-1"))


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "3-1", "1,1", "0-99999", "1.5", "²", "9" * 30])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_seeds(text)


def test_methods_are_listed_and_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    records = json.loads(run("methods", "--json").stdout)
    assert run("methods", "list", "--json").stdout == run("methods", "--json").stdout
    assert run("methods").exit_code == 0
    for record in records:
        text = run("methods", "show", record["slug"]).stdout
        assert record["title"] in text and record["module"] in text
    assert "no method has this slug" in fails(run("methods", "show", "no-such-method"))


def test_doctor_finds_damage(run: Run, store: FakeStore, config: Path) -> None:
    sound = json.loads(run("doctor", "--verify", "--json").stdout)
    assert sound["problems"] == [] and sound["store"]["versions"] == 2
    assert {"python", "threads", "devices"} <= set(sound["machine"])
    store.damage.append(Problem("changed", "a/model.safetensors", expected="12", found="34", last_good="b"))
    result = run("doctor", "--verify")
    assert result.exit_code == 1
    assert "a/model.safetensors" in result.stdout and "34" in result.stdout
    assert run("doctor").exit_code == 0  # nothing was read


def test_doctor_works_without_a_store(
    run: Run, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(run("doctor", "--json").stdout)["store"] is None
    assert "no store is named" in fails(run("doctor", "--verify"))
    monkeypatch.setenv("HEADSTART_DATA", "no/such/folder")
    assert run("doctor").exit_code == 1


class Terminal:
    """A stream that says it is one."""

    def __init__(self, tty: bool = True) -> None:
        self.text, self.tty = "", tty

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return self.tty


def test_progress_is_one_line_that_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen: Any = Terminal()
    with progress_line(stream=screen) as show:
        assert show is not None
        show({"stage": "train", "message": "warm\nstart", "step": 2, "total": 4, "score": 0.5, "eta": 61})
    assert "train  warm start  2/4 (50 %)  score 0.5  1:01 left" in screen.text
    assert "\n" not in screen.text
    assert screen.text.rsplit("\r", 2)[1].strip() == "" and screen.text.endswith("\r")
    monkeypatch.setenv("RANK", "1")
    with progress_line(stream=screen) as show:
        assert show is None


def test_progress_is_silent_when_piped_or_quiet() -> None:
    screens: list[Any] = [Terminal(tty=False), Terminal()]
    for screen, quiet in zip(screens, (False, True), strict=True):
        with progress_line(stream=screen, quiet=quiet) as show:
            assert show is None
        assert screen.text == ""


def test_render_leaves_out_what_is_not_known() -> None:
    assert render({"stage": "gate"}) == "gate"
    assert render({"step": 3}) == "step 3"
    assert render({"step": 3, "total": 0, "loss": float("nan"), "eta": float("inf")}) == "step 3  loss nan"


def test_starts_with_settings_share_the_comma() -> None:
    assert split_starts("a, b:x=1,y=2 ,c:z=3,,d") == ["a", "b:x=1,y=2", "c:z=3", "d"]


def test_tables_align_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("a", 1), ("bcdef", 1000), ("x\ny", None)])
    assert capsys.readouterr().out == "name      n\na         1\nbcdef  1000\nx y       -\n"


def test_gate_reads_pairs_of_scores_from_a_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    calls: list[tuple[str, list[float], list[float], dict[str, Any]]] = []

    def fake(name: str) -> Callable[..., Any]:
        def compare(old: Any, new: Any, **options: Any) -> Any:
            calls.append((name, old.tolist(), new.tolist(), options))
            return SimpleNamespace(to_dict=lambda: VERDICT)

        return compare

    replace_module(
        monkeypatch,
        "headstart.lifecycle.gate",
        compare=fake("compare"),
        compare_scores=fake("compare_scores"),
    )
    path = tmp_path / "s.csv"
    path.write_text("old,new,group,region\n0,1,a,north\n1,1,a,south\n1,0,b,north\n")
    assert json.loads(run("gate", "s.csv", "--alpha", "0.1", "--json").stdout) == VERDICT
    slices = {"region=north": [0, 2], "region=south": [1]}
    options = {"slices": slices, "groups": ["a", "a", "b"], "alpha": 0.1}
    assert calls == [("compare", [False, True, True], [True, True, False], options)]
    path.write_text("old,new\n0.5,1\n0.25,0\n")
    assert run("gate", "s.csv", "--check").exit_code == 1
    assert calls[1] == ("compare_scores", [0.5, 0.25], [1.0, 0.0], {"slices": None, "groups": None})
    path.write_text("old,new\n0.5,x\n")
    assert "row 1" in fails(run("gate", "s.csv"))
    path.write_text("old,now\n0.5,1\n")
    assert "new" in fails(run("gate", "s.csv"))
    path.write_text("old,new,id\n" + "".join(f"0,1,{number}\n" for number in range(60)))
    assert "60 different values" in fails(run("gate", "s.csv"))
