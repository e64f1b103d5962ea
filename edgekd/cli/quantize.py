"""`edgekd quantize`: a classification model from elsewhere, quantized and tried on the target."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.subjects import Seed
from edgekd.errors import UsageError
from edgekd.temporary import temporary_folder

if TYPE_CHECKING:
    from edgekd.config.target import TargetProfile
    from edgekd.data.model_inputs import ImageOptions

REPORT = "report.json"


class Objective(StrEnum):
    LATENCY = "latency"
    SIZE = "size"


def quantize(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX classification model, in float.")],
    calibration: Annotated[
        Path,
        typer.Option(
            "--calibration",
            metavar="DATA",
            help="Samples: inputs as .npy (N, ...) or .npz by input name, or a folder or .tar of images.",
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Classes (N,) as .npy; those of images may be their folders'."),
    ] = None,
    targets: Annotated[
        list[Path],
        typer.Option("--target", metavar="FILE", help="Target files; without one: this machine, one thread."),
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    output: Annotated[
        str | None, typer.Option("--output", metavar="NAME", help="Which output has the scores of the classes.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=0, max=1, help="Accuracy, or agreement with fp32, that may be lost.")
    ] = 0.003,
    objective: Annotated[Objective, typer.Option("--objective", help="What the file has the least of.")] = (
        Objective.LATENCY
    ),
    repair: Annotated[bool, typer.Option(help="Repair 8-bit files that lose more.")] = True,
    mean: Annotated[str | None, typer.Option("--mean", metavar="M,...", help="Of images, of pixels / 255.")] = None,
    std: Annotated[str | None, typer.Option("--std", metavar="S,...", help="Of images, of pixels / 255.")] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="HxW", help="Scales images, where the model leaves it open.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="Time for the answers of all candidates, and as much for their times."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where files go; by default MODEL-quantized here.")
    ] = None,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="Keep every candidate's file.")] = False,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report instead of tables.")] = False,
) -> None:
    """Quantize any ONNX classification model: every kind of file that could be best, the fastest right one chosen.

    Files are made, proved, repaired, tried and chosen as in `edgekd run`. Without labels, the share of samples with the
    prediction of the fp32 model takes the place of accuracy. The chosen file and report.json are written.

    Exits with 0, with 1 if nothing may ship, or with 3 if the loss of what ships may be above the limit as well.
    """
    from rich.console import Console

    from edgekd.cli.subjects import write_text
    from edgekd.config.quantize import QuantizeSection
    from edgekd.records.check import Outcome
    from edgekd.records.run import EXIT_CODES
    from edgekd.report.progress import progress_for
    from edgekd.report.quantized import print_quantized, quantized_json
    from edgekd.stages.quantize_model import Request, keep_files, quantize_model

    if seconds is not None and not 0 < seconds <= 86400:
        raise UsageError(f"--seconds {seconds:g}: expected a time above 0")
    profiles = _profiles(targets)
    images = _images(mean, std, size)
    folder = _folder(out or Path(f"{model.stem}-quantized"))
    options = QuantizeSection.model_validate(
        {"max_accuracy_drop": max_drop, "objective": objective.value, "repair": "auto" if repair else "none"}
    )
    request = Request(model, calibration, labels, images, output, profiles, options, seconds, seed)
    try:
        with temporary_folder() as made:
            record = quantize_model(request, made, progress_for(Console(stderr=True)))
            record = keep_files(record, made, folder, every=keep_all)
    except BaseException as error:
        with suppress(OSError):
            folder.rmdir()  # where nothing was written
        if not isinstance(error, KeyboardInterrupt):
            raise
        typer.echo("interrupted; nothing was written", err=True)
        raise typer.Exit(130) from None
    text = quantized_json(record)
    if as_json:
        typer.echo(text)
    else:
        print_quantized(record, folder, Console())
    write_text(folder / REPORT, text)
    outcomes = {record.outcome(target) for target in record.choices}
    worst = next(each for each in (Outcome.FAIL, Outcome.UNDECIDED, Outcome.PASS) if each in outcomes)
    raise typer.Exit(EXIT_CODES[worst])


def _profiles(paths: list[Path]) -> tuple[TargetProfile, ...]:
    """
    Raises:
        ConfigError: a target file is wrong.
        UsageError: two targets have one name.
    """
    from edgekd.cli.subjects import load_target

    profiles = tuple(map(load_target, paths)) or (load_target(None),)
    names = [each.name for each in profiles]
    if len(set(names)) < len(names):
        raise UsageError(f"--target: two targets are named {max(names, key=names.count)!r}")
    return profiles


def _images(mean: str | None, std: str | None, size: str | None) -> ImageOptions:
    from edgekd.data.model_inputs import ImageOptions

    sides = None
    if size is not None:
        parts = size.lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
            raise UsageError(f"--size {size}: expected pixels", hint="for example --size 224, or --size 240x320")
        sides = (int(parts[0]), int(parts[-1]))
    spread = None if std is None else _numbers("--std", std)
    if spread is not None and min(spread) <= 0:
        raise UsageError(f"--std {std}: expected numbers above 0")
    return ImageOptions(None if mean is None else _numbers("--mean", mean), spread, sides)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    found: tuple[float, ...] = ()
    with suppress(ValueError):
        found = tuple(float(part) for part in text.split(","))
    if not found or not all(map(math.isfinite, found)):
        raise UsageError(f"{option} {text}: expected numbers", hint=f"for example {option} 0.5,0.5,0.5")
    return found


def _folder(path: Path) -> Path:
    """The folder to write to, made if need be.

    Raises:
        UsageError: it is a file, or nothing can be written there.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path}: that is a file")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"--out {path}: nothing can be written there")
    return path
