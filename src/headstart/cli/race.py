"""Race the starts on new data and print the ranking; nothing is committed."""

from __future__ import annotations

import click

from headstart.cli._common import json_option, print_json, print_table, say
from headstart.cli._progress import progress_line
from headstart.cli._run import Run, run_options


@click.command()
@run_options
@json_option
def command(*, run: Run, as_json: bool) -> int:
    """Race the starts on new data, under the budget, and print how they did.

    Use it to see what `headstart update` would choose, or to compare settings of one start:

    \b
    headstart race --data monday.csv --starts shrink-perturb:shrink=0.4,shrink-perturb:shrink=0.6
    """
    from headstart import api

    task, store = run.config.task(), run.open_store(create=True)
    with progress_line(quiet=run.quiet) as progress:
        ranking = api.race(task, store, run.data, **run.config.arguments(), progress=progress)
    if as_json:
        print_json(ranking)
        return 0
    head = ("rank", "start", "status", "score", "steps", "samples")
    rows = [(item["label"], *(item.get(key) for key in head[2:])) for item in ranking]
    print_table(head, [(rank, *row) for rank, row in enumerate(rows, start=1)])
    say()
    say(f"{sum(item['steps'] for item in ranking)} steps in all; nothing was committed")
    return 0
