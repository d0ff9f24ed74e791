"""Train on new data, gate the result against the champion, promote it if it is better."""

from __future__ import annotations

from typing import Any

import click

from headstart.cli._common import as_text, json_option, print_json, say, shade, short
from headstart.cli._progress import progress_line
from headstart.cli._run import Run, run_options


@click.command()
@run_options
@json_option
@click.option("--check", is_flag=True, help="Exit with 1 unless the candidate was promoted.")
def command(*, run: Run, as_json: bool, check: bool) -> int:
    """Bring the model up to date with new data.

    Diagnoses the data, races the starts that fit under the budget, trains the winner, compares it with
    the champion on sealed items, and promotes, holds or rejects it. A run that was cut short goes on
    where it stopped when the same command is given again.

    \b
    headstart update --data monday.csv
    headstart update --data monday.csv --starts scratch,warm --steps 2000 --set train.lr=0.01
    """
    from headstart import api

    task, store = run.config.task(), run.open_store(create=True)
    with progress_line(quiet=run.quiet) as progress:
        result = api.update(task, store, run.data, **run.config.arguments(), progress=progress)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)
    return 1 if check and result.decision != "promote" else 0


def _print(result: Any) -> None:
    record = result.record
    say(f"{shade(result.decision)}  version {short(result.version.id)}  from {record['winner']}")
    for reason in record["reasons"]:
        say(f"  {reason}")
    say(
        f"  score {as_text(record['candidate_score'])}, champion {as_text(record['champion_score'])};"
        f" {record['steps_spent']} steps, {record['seconds']:.1f} s"
    )
    for finding in record["findings"]:
        if finding["severity"] != "info":
            say(f"  {finding['severity']}: {finding['text']} {finding['advice']}".rstrip())
    if result.report_path is not None:
        say(f"  report {result.report_path}")
