"""`edgekd run`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PipelineFile = Annotated[Path, typer.Argument(help="The pipeline file, for example pipelines/digits.yaml.")]
Assignments = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the file: distill.temperature=6. Repeatable."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Use this seed instead of the file's.")]


def run(
    pipeline: PipelineFile,
    assignments: Assignments = [],  # noqa: B006 - typer reads the default, nobody changes it
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Start at this stage; what comes before must be in the store."),
    ] = None,
    until: Until = None,
    seed: Seed = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Run again even what the store has (with --from: from that stage on)."),
    ] = False,
) -> None:
    """Run a pipeline: train, distill, export, quantize, validate, measure, decide.

    Finished stages are kept in the store and not run again unless something that decides their result changes; an
    interrupted run goes on where it stopped.

    Under torchrun (`torchrun --nproc-per-node 2 -m edgekd run FILE`) all processes train together, and the first one
    does the rest.

    Exits with 0 (pass), 1 (fail) or 3 (undecided).
    """
    from rich.console import Console

    from edgekd.config.pipeline import load_pipeline
    from edgekd.pipeline.engine import Selection
    from edgekd.report.progress import progress_for
    from edgekd.report.terminal import print_run
    from edgekd.stages.session import follow_pipeline, run_pipeline
    from edgekd.training.execution import place_here

    loaded = load_pipeline(pipeline, assignments=assignments, seed=seed)
    if place_here().rank > 0:
        follow_pipeline(loaded)
        return
    console = Console(stderr=True)
    try:
        folder, record = run_pipeline(
            loaded, Selection(start=start, until=until, fresh=fresh), progress_for(console), runs=Path("runs")
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    print_run(record, folder, Console())
    raise typer.Exit(record.exit_code)
