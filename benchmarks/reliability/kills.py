"""R1 and R8: work on a store is killed at every named point and at random moments, or asked to stop.

After each kill a fresh process looks at everything: the store is sound, what was committed is a beginning
of what an undisturbed run commits, and there is exactly one champion. Then the same work is done again and
must end, digest for digest, where the undisturbed run ends.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.reliability._campaign import Outcome, Setting, Tally
from benchmarks.reliability._victims import POINTS_OF
from headstart.lifecycle.failpoints import POINTS

FIGURES = ("R1", "R8")
ROOT = Path(__file__).resolve().parents[2]
# What is compared when the work has been done again; numbers of temporary names are not.
FINAL = ("problems", "versions", "log", "champion", "arrivals", "remembered", "records", "left", "runs")

Request = dict[str, Any]
Answer = dict[str, Any]


def run(setting: Setting) -> list[Outcome]:
    """Both figures."""
    draw = random.Random(setting.seed)
    seeds = range(4) if setting.full else [1]  # an odd seed's store forgets, see the work
    wholes = answers(setting, [{"do": "whole", "kind": k, "seed": s} for k in POINTS_OF for s in seeds])
    passes = {(request["kind"], request["seed"]): a["whole"]["passes"] for request, a in wholes}
    named = named_kills(draw, passes, setting.size(20, 1))
    at_random = [
        {"do": "kill", "kind": draw.choice(["store", "update", "update"]), "seed": draw.choice(seeds)}
        | {"fraction": draw.uniform(0.0, 0.97)}
        for _ in range(setting.size(640, 5))
    ]
    stops = [
        {"do": "stop", "kind": "update", "seed": draw.choice(seeds), "fraction": draw.uniform(0.0, 0.9)}
        | {"signal": int(draw.choice([signal.SIGTERM, signal.SIGINT]))}
        for _ in range(setting.size(100, 3))
    ]
    return [
        killed(setting, [*named, *at_random]),
        stopped(setting, stops),
    ]


def named_kills(draw: random.Random, passes: dict[tuple[str, int], Counter[str]], each: int) -> list[Request]:
    """Kills at every named point, at passes spread over all that the work makes of it."""
    kills = []
    missed = [p for kind, points in POINTS_OF.items() for p in points if not _passed(passes, kind, p)]
    if missed:
        raise LookupError(f"the work never passes {missed}: extend it")
    for kind in POINTS_OF:
        for point in POINTS:
            here = _passed(passes, kind, point) and (each > 1 or point in POINTS_OF[kind])
            for number in range(each if here else 0):
                seeds = [seed for k, seed in passes if k == kind and passes[k, seed].get(point)]
                seed = seeds[number % len(seeds)]
                count = draw.randint(1, passes[kind, seed][point])
                kills.append({"do": "kill", "kind": kind, "seed": seed, "point": f"{point}:{count}"})
    return kills


def _passed(passes: dict[tuple[str, int], Counter[str]], kind: str, point: str) -> bool:
    return any(counts.get(point) for (k, _), counts in passes.items() if k == kind)


def killed(setting: Setting, requests: list[Request]) -> Outcome:
    """R1."""
    tally, points, finished = Tally(), Counter[str](), 0
    for request, answer in answers(setting, requests):
        named = "point" in request
        if not named and answer["killed"]["code"] == 0:
            finished += 1  # the work was over before the moment came
            continue
        tally.case("named" if named else "random", problem(answer, -signal.SIGKILL))
        if named:
            points[request["point"].partition(":")[0]] += 1
    enough = tally.cases["random"] >= 500 and min(points.values()) >= 20
    return Outcome(
        figure="R1",
        promise="killed at any moment: sound store, nothing committed is lost, one champion, same end",
        cases=tally.total,
        violations=len(tally.broken),
        bar="500 random kills and every named point 20 times, 0 violations",
        met=not tally.broken and enough,
        counts={**tally.cases, "named points": len(points), "over before the kill": finished},
        notes=("feedback is not stored yet; the record points are those its append will pass",),
        examples=tuple(tally.broken),
    )


def stopped(setting: Setting, requests: list[Request]) -> Outcome:
    """R8."""
    tally, codes, most, finished = Tally(), Counter[int](), 0, 0
    for request, answer in answers(setting, requests):
        code = answer["killed"]["code"]
        if code == 0:
            finished += 1  # the signal came after the decision: the update ends as if none had come
            continue
        codes[code] += 1
        most = max(most, answer["steps"])
        late = f"{answer['steps']} steps begun after the signal" if answer["steps"] > 1 else None
        # Before its first and after its last stage an update leaves the signal to the system, whose exit
        # code a shell shows as the same 128 + number.
        wanted = -request["signal"] if code == -request["signal"] else 128 + request["signal"]
        tally.case("stops", problem(answer, wanted) or late)
    return Outcome(
        figure="R8",
        promise="SIGTERM or SIGINT: stop within a step, state saved, exit 143 or 130, same end when resumed",
        cases=tally.total,
        violations=len(tally.broken),
        bar="at most one step after the signal, exit code 143 or 130, resumable",
        met=not tally.broken and tally.total > 0,
        counts={f"exit {code}": n for code, n in sorted(codes.items())}
        | {"most steps begun after the signal": most, "over before the signal": finished},
        examples=tuple(tally.broken),
    )


def problem(answer: Answer, code: int) -> str | None:
    """How a trial broke the promise, or None."""
    whole, before = answer["whole"]["state"], answer["whole"]["before"]
    for part, wanted in (("killed", code), ("looked", 0), ("again", 0), ("final", 0)):
        if answer[part]["code"] != wanted:
            return f"{part}: exit {answer[part]['code']}: {answer[part].get('error', '')[-800:]}"
    state, final = answer["looked"]["value"], answer["final"]["value"]
    if state["problems"] or state["left"]:
        return f"left behind: {state['problems']} {state['left']}"
    for part in ("versions", "log", "arrivals"):
        found, all_of_it = state[part], whole[part]
        if [row[:2] for row in found] != [row[:2] for row in all_of_it[: len(found)]]:
            return f"{part} are no beginning of the undisturbed ones: {found}"
        if len(found) < len(before[part]):
            return f"{part} were lost: {found}"
    moves = [event for event in state["log"] if event[0] in ("promote", "rollback")]
    if state["champion"] != (moves[-1][1] if moves else None):
        return f"the champion is {state['champion']}, the log ends with {moves[-1:]}"
    differ = [part for part in FINAL if final[part] != whole[part]]
    return f"done again it differs in {differ}" if differ else None


def answers(setting: Setting, requests: list[Request]) -> Iterable[tuple[Request, Answer]]:
    """Each request with its answer, worked on by as many processes as the setting allows."""
    found: list[tuple[Request, Answer]] = []
    count = min(setting.workers, len(requests)) or 1
    threads = [
        threading.Thread(target=_serve, args=(setting, number, requests[number::count], found))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) < len(requests):
        raise RuntimeError("a process that kills was itself lost; its error stands above")
    return found


def _serve(setting: Setting, number: int, requests: list[Request], found: list[Any]) -> None:
    folder = setting.folder / f"victims-{number}-{len(list(setting.folder.iterdir()))}"
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.reliability._victims", str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, text=True, cwd=ROOT, env=environment, **pipes) as process:  # type: ignore[call-overload]
        for done, request in enumerate(requests, start=1):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                return
            found.append((request, json.loads(line)))
            if done % 50 == 0:
                setting.say(f"{done} of {len(requests)} in process {number}")
