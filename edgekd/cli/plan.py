"""`edgekd plan`: what a run would do, and why."""

from __future__ import annotations

from pathlib import Path

import typer

from edgekd.cli.run import Assignments, PipelineFile, Seed, Until


def plan(
    pipeline: PipelineFile,
    assignments: Assignments = [],  # noqa: B006 - typer reads the default, nobody changes it
    until: Until = None,
    seed: Seed = None,
) -> None:
    """Show the stages of a pipeline: which are cached, and why each other one would run."""
    from rich.console import Console

    from edgekd.config.pipeline import load_pipeline
    from edgekd.errors import EdgekdError
    from edgekd.pipeline.plan import forecast
    from edgekd.pipeline.running import VANISHED, vanished_runs
    from edgekd.pipeline.store import Store, store_root
    from edgekd.report.progress import progress_for
    from edgekd.stages.assembly import assemble
    from edgekd.stages.session import locate

    loaded = load_pipeline(pipeline, assignments=assignments, seed=seed)
    progress = progress_for(Console(stderr=True))
    try:
        planned = assemble(loaded)
        rows = forecast(planned if until is None else planned.up_to(until), Store(store_root()), progress)
    except EdgekdError as error:
        locate(error, loaded)
        raise
    for gone in vanished_runs(Path("runs") / loaded.config.name):
        progress.say(f"warning: the run {gone} {VANISHED}")
    width = max(len(row.node.id) for row in rows)
    for row in rows:
        state = f"cached    {row.record.headline}" if row.record else f"will run  {row.why}"
        typer.echo(f"{row.node.id:<{width}}  {state}")
