"""`edgekd sweep`: many runs of one pipeline with other settings, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.run import PipelineFile, Seed
from edgekd.errors import UsageError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from edgekd.sweep.drive import Hands

RAY = "ray"


def sweep(
    pipeline: PipelineFile,
    assignments: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=A,B,C",
            help="Try these values of a key, or numbers between: KEY={low: 1, high: 8, log: true}. With one value: "
            "change it for all, as `run` does. Repeatable.",
        ),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Try each setting with so many seeds. [default: 1]")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option("--sampler", help="Who proposes settings: grid, random, tpe, gp or qmc. [default: grid]"),
    ] = None,
    settings: Annotated[
        int | None, typer.Option("--settings", min=1, help="How many settings, unless it is a grid. [default: 20]")
    ] = None,
    until: Annotated[
        str,
        typer.Option("--until", metavar="STAGE", help="Where each trial ends; train: nothing is exported or measured."),
    ] = "validate",
    seed: Seed = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N|ray",
            help="How many trainings at once here, or a Ray cluster; by default what suits.",
        ),
    ] = None,
    cores: Annotated[
        int | None, typer.Option("--cores", min=1, help="Of each training; with ray 1 unless given.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="With ray: of the cluster, else RAY_ADDRESS, else one on this machine alone."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of the table.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table there too.")] = None,
) -> None:
    """Try other settings of a pipeline: train with each, and compare on validation samples.

    Every trial is an ordinary run whose stages are kept in the store; an interrupted sweep goes on where it stopped. A
    trial that fails is a row of the table.

    Exits with 0, or with 4 if no setting was tried to the end with every seed.
    """
    from rich.console import Console

    from edgekd.cli.subjects import can_be_written, write_text
    from edgekd.config.pipeline import load_pipeline
    from edgekd.config.sweep import split_assignments
    from edgekd.report.progress import progress_for
    from edgekd.report.sweep import print_sweep, sweep_csv
    from edgekd.stages.session import share_processor
    from edgekd.sweep.drive import sweep as drive
    from edgekd.sweep.settings import sweep_of

    hands = _hands(workers, cores, address)
    fixed, tried = split_assignments(assignments)
    loaded = load_pipeline(pipeline, assignments=fixed, seed=seed)
    given: dict[str, JsonValue] = {"seeds": seeds, "sampler": sampler, "settings": settings}
    options: dict[str, JsonValue] = {name: each for name, each in given.items() if each is not None}
    section = sweep_of(loaded, tried, options, {each.partition("=")[0].strip() for each in fixed})
    if csv is not None:
        can_be_written(csv, "--csv")
    console = Console(stderr=True)
    share_processor()
    try:
        record = drive(
            loaded,
            section,
            until,
            hands,
            progress_for(console),
            assignments=[*fixed, *([] if seed is None else [f"seed={seed}"])],
            follow=console.is_terminal,
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if csv is not None:
        write_text(csv, sweep_csv(record))
    if as_json:
        typer.echo(record.model_dump_json(indent=1))
    else:
        print_sweep(record, Console())
    raise typer.Exit(0 if record.best is not None else 4)


def _hands(workers: str | None, cores: int | None, address: str | None) -> Hands:
    from edgekd.sweep.drive import Hands

    cluster = workers == RAY
    if address is not None and not cluster:
        raise UsageError("--address is that of a cluster", hint="--workers ray --address HOST:PORT")
    if workers is None or cluster:
        return Hands(cluster, None, cores, address)
    if not workers.isdecimal() or int(workers) < 1:
        raise UsageError(f"--workers {workers}: expected a number of trainings at once, or ray")
    return Hands(count=int(workers), cores=cores)
