"""`edgekd bench`: how fast models are, and whether one is faster than another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.subjects import InputFile, Seconds, Seed, Shapes, TargetFile
from edgekd.errors import UsageError

if TYPE_CHECKING:
    from edgekd.config.target import TargetProfile
    from edgekd.harness.subject import Subject
    from edgekd.progress import Progress
    from edgekd.report.bench import Measured


def bench(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="ONNX files or bundles; the first is the baseline.")
    ],
    target: TargetFile = None,
    inputs: InputFile = None,
    shapes: Shapes = [],  # noqa: B006 - typer reads the default, nobody changes it
    seconds: Seconds = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="Relative difference that counts as none, instead of the target's.")
    ] = None,
    every: Annotated[
        float | None, typer.Option("--every", metavar="MS", help="Periodic: one inference every so many ms.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="MS", help="With --every: when an answer is too late.")
    ] = None,
    clients: Annotated[
        int | None, typer.Option("--clients", min=1, max=1024, help="Throughput: so many threads call one session.")
    ] = None,
    raw: Annotated[bool, typer.Option("--end-to-end", help="Time bundles also from raw samples to the label.")] = False,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")] = False,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the JSON there too.")] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", metavar="FILE", help="Write every raw sample there (.npz).")
    ] = None,
) -> None:
    """Measure models side by side: percentiles, costs, and the ratio of each to the first, with intervals.

    Works on any ONNX model. Each is loaded anew many times, in several processes, and blocks of all are interleaved
    in random order; it stops as soon as every comparison is decided.

    Exits with 0, or with 3 if a comparison is undecided when the time is over.
    """
    from rich.console import Console

    from edgekd.cli.subjects import can_be_written, end_to_end, load_target, named, shapes_of, subject_of, write_text
    from edgekd.report.bench import bench_json, print_bench
    from edgekd.report.progress import progress_for

    for option, path in (("--save", save), ("--samples", samples)):
        if path is not None:
            can_be_written(path, option)
    mode = _mode(every, deadline, clients, samples)
    profile = load_target(target, seconds=seconds, margin=margin)
    parts = named(models, profile.name)
    subjects = {name: subject_of(part, shapes_of(shapes), inputs) for name, part in parts.items()}
    if raw:
        subjects = end_to_end(parts, subjects)
    try:
        record = _measure(profile, subjects, mode, seed, progress_for(Console(stderr=True)))
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing was written", err=True)
        raise typer.Exit(130) from None
    text = bench_json(record, profile.name)
    if as_json:
        typer.echo(text)
    else:
        print_bench(record, profile.name, Console())
    if save is not None:
        write_text(save, text)
    raise typer.Exit(0 if record.decided else 3)


@dataclass(frozen=True)
class Mode:
    """Which way of measuring was asked for: periodic, throughput, or back to back where both are None."""

    period_s: float | None
    deadline_s: float | None
    clients: int | None
    samples: Path | None


def _mode(every: float | None, deadline: float | None, clients: int | None, samples: Path | None) -> Mode:
    if every is not None and clients is not None:
        raise UsageError("--every and --clients are two ways to measure", hint="give one of them")
    if deadline is not None and every is None:
        raise UsageError("--deadline belongs to --every", hint="for example --every 33 --deadline 20")
    if samples is not None and (every is not None or clients is not None):
        raise UsageError("--samples keeps back-to-back samples only", hint="leave out --every and --clients")
    for option, value in (("--every", every), ("--deadline", deadline)):
        if value is not None and not 0 < value <= 3.6e6:
            raise UsageError(f"{option} {value:g}: expected milliseconds above 0")
    period_s = None if every is None else every / 1e3
    return Mode(period_s, period_s if deadline is None else deadline / 1e3, clients, samples)


def _measure(
    profile: TargetProfile, subjects: Mapping[str, Subject], mode: Mode, seed: int, progress: Progress
) -> Measured:
    from edgekd.stages.targets import device_of

    device, baseline = device_of(profile), next(iter(subjects))
    if mode.period_s is not None and mode.deadline_s is not None:
        from edgekd.harness.periodic import measure_periodic

        return measure_periodic(
            device, profile.runtime, profile.measure, subjects, mode.period_s, mode.deadline_s, seed, progress
        )
    if mode.clients is not None:
        from edgekd.harness.throughput import measure_throughput

        return measure_throughput(
            device, profile.runtime, profile.measure, subjects, baseline, mode.clients, seed, progress
        )
    from edgekd.harness.counting import counted
    from edgekd.harness.driver import measure

    counts = counted(device, profile.runtime, subjects)  # before the long part, so that nothing is lost if it fails
    pairs = [(name, baseline) for name in subjects if name != baseline]
    record = measure(device, profile.runtime, profile.measure, subjects, pairs, seed, progress, samples=mode.samples)
    models = tuple(each.model_copy(update={"instructions": counts.get(each.name)}) for each in record.models)
    return record.model_copy(update={"models": models})
