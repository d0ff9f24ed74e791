"""Keep a small model current over real arrivals, and write the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from headstart.cli._common import as_text, json_option, print_json, print_table, say
from headstart.cli._progress import progress_line


@click.command()
@click.option(
    "--out", required=True, metavar="DIR", help="Folder for the store, the report and summary.json."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the demo.")
@click.option("--quiet", is_flag=True, help="No progress line.")
@json_option
def command(*, out: str, seed: int, quiet: bool, as_json: bool) -> int:
    """Handwritten digits arrive in batches; each time the model is brought up to date, and training
    from scratch runs beside it for comparison. Takes under 90 seconds on two cores."""
    from headstart import demo

    with progress_line(quiet=quiet) as progress:
        summary = demo.run(Path(out), seed=seed, progress=progress)
    if as_json:
        print_json(summary)
    else:
        _print(summary, Path(out))
    return 0


def _print(summary: Mapping[str, Any], out: Path) -> None:
    head = ("arrival", "rows", "new", "winner", "decision", "champion", "candidate", "steps", "seconds")
    keys = ("index", "rows_total", "rows_new", "winner", "decision", "champion_score", "candidate_score")
    rows = [
        [*(arrival[key] for key in keys), arrival["steps_spent"], f"{arrival['seconds']:.1f}"]
        for arrival in summary["arrivals"]
    ]
    print_table(head, rows)
    totals = summary["totals"]
    say()
    say(f"kept current: score {as_text(totals['score_final'])} with {totals['steps_spent']} steps in all")
    if totals.get("steps_scratch") is not None:
        score = as_text(totals["score_scratch_final"])
        say(f"from scratch: score {score} with {totals['steps_scratch']} steps in all")
    say(f"report {out / 'report.html'}")
