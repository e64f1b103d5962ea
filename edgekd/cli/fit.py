"""`edgekd fit`: the student's shape, found by measuring untrained networks and training the few that could be best."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.run import Assignments, PipelineFile, Seed
from edgekd.errors import UsageError


def fit(
    pipeline: PipelineFile,
    assignments: Assignments = [],  # noqa: B006 - typer reads the default, nobody changes it
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write a new pipeline file beside this one, and leave it as it is."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Search, and write nothing: print what would be written.")
    ] = False,
    seed: Seed = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure and choose again; what was trained is kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the search's record as JSON.")] = False,
) -> None:
    """Find the student's shape for a budget, and write it into the pipeline file.

    The section `fit` says what the student may cost and which shapes are tried. They are measured on every target
    before any is trained; those within the budget are trained for a short time, the best of them for longer, the last
    few to the end. Every training is kept in the store: an interrupted search goes on where it stopped, and `edgekd
    run` finds the student trained.

    Exits with 0 when a shape was found, 1 when none of those that were trained is within the budget.
    """
    from rich.console import Console

    from edgekd.config.inline import inline
    from edgekd.config.pipeline import load_pipeline
    from edgekd.fit.section import section_of
    from edgekd.fit.study import fit_plan
    from edgekd.fit.write_student import check_place, write_student
    from edgekd.pipeline.engine import Selection
    from edgekd.records.study import StudyRecord
    from edgekd.report.progress import progress_for
    from edgekd.report.study import found
    from edgekd.report.terminal import print_run
    from edgekd.stages.session import run_plan

    loaded = load_pipeline(pipeline, assignments=assignments, seed=seed)
    section_of(loaded)  # what cannot be is told before any work, and leaves no run
    goal = pipeline if to is None else to
    if to is not None:
        _check_goal(pipeline, to)
    before = None if dry_run else check_place(pipeline, goal)
    try:
        folder, record = run_plan(
            loaded, fit_plan(loaded), Selection(fresh=fresh), progress_for(Console(stderr=True)), runs=Path("runs")
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    (study,) = record.all(StudyRecord).values()
    if as_json:
        typer.echo(study.model_dump_json(indent=1))
    else:
        print_run(record, folder, Console())
    if study.winner is None:
        typer.echo("nothing is written: a larger fit.budget, or other shapes in fit.space, may do", err=True)
        if any(each.files for each in study.finalists):
            typer.echo(
                "untrained, the finalists were within it: if other programs slowed the last measurement, --fresh "
                "repeats it and trains nothing twice",
                err=True,
            )
        raise typer.Exit(1)
    shape = study.winner[0].shape
    if before is None:
        typer.echo(f"not written: model: {inline(shape)}", err=True)
        return
    date = datetime.now(UTC).date().isoformat()
    note = (f"{shlex.join(sys.argv[2:])} on {date}", *found(study))
    comments = write_student(pipeline, goal, shape, note, unchanged=before)
    typer.echo(f"written: {goal}", err=True)
    if comments:
        lines = ", ".join(map(str, comments))
        typer.echo(f"look at the comment in line {lines} of it, which was written for another shape", err=True)


def _check_goal(pipeline: Path, to: Path) -> None:
    """
    Raises:
        UsageError: what the new file names would not be found from there, or it is somebody's own.
    """
    from edgekd.fit.write_student import wrote

    if to.resolve().parent != pipeline.resolve().parent:
        raise UsageError(
            f"--to {to}: a pipeline names its targets and files from its own folder",
            hint=f"give a file in {pipeline.parent}/, and move it afterwards if you must",
        )
    if to.resolve() == pipeline.resolve():
        raise UsageError(f"--to {to} is the pipeline file itself", hint="leave --to out to write into it")
    if to.exists() and not wrote(pipeline, to):
        raise UsageError(f"--to {to}: there is such a file already", hint="remove it, or give another name")
