"""`edgekd show`: a finished run, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its run.json, or `last`.")] = "last",
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json for machines.")] = False,
    reanalyse: Annotated[
        bool, typer.Option("--reanalyse", help="Compute the latencies again from the raw samples in the store.")
    ] = False,
) -> None:
    """Print a run's result again."""
    from rich.console import Console

    from edgekd.pipeline.running import VANISHED, under_way
    from edgekd.report.runs import find_run, load_run
    from edgekd.report.terminal import print_run

    path = find_run(run, Path("runs"))
    record = load_run(path)
    if record.state == "running":
        state = "it is still running" if under_way(path.parent) else VANISHED
        record = record.model_copy(update={"error": state})
    if reanalyse:
        from edgekd.stages.reanalysis import reanalysed

        record = reanalysed(record)
    if as_json:
        typer.echo(record.model_dump_json(indent=1, by_alias=True))
    else:
        print_run(record, path.parent, Console())
