"""`edgekd target`: the machines that models are tried on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekd.records.doctor import Health

app = typer.Typer(
    help="The machines that models are tried on: list them, reach them, set them up.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TargetFile = Annotated[Path, typer.Argument(metavar="FILE", help="The target file, for example targets/local.yaml.")]
PING_S = 0.2


@app.command()
def ping(
    target: TargetFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say whether a target can be reached, and what it is: runtime, instructions, cores, memory, clock.

    Exits with 5 if it cannot be reached, or lacks what edgekd needs there. `edgekd doctor --target FILE` says how fit
    it is for measuring.
    """
    from edgekd.cli.subjects import load_target
    from edgekd.harness.doctor import examine
    from edgekd.stages.targets import device_of

    profile = load_target(target)
    device = device_of(profile)
    begun = time.monotonic()
    health = examine(device, profile.runtime, seconds=PING_S)
    taken = time.monotonic() - begun - PING_S
    if as_json:
        typer.echo(health.environment.model_dump_json(indent=1))
        return
    typer.echo(f"✓ {profile.name} ({device.place}) answers ({taken:.1f} s)")
    for name, value in _facts(health):
        typer.echo(f"  {name:<12} {value}")


@app.command()
def doctor(
    target: TargetFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """The same as `edgekd doctor --target FILE`: what there will disturb a measurement, and how to mend it."""
    from edgekd.cli import doctor as whole

    whole.doctor(target, as_json)


@app.command("list")
def list_targets(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the target files are.")] = Path("targets"),
) -> None:
    """List the target files of a folder: name, where it is, and what a model may cost there. Reaches none of them."""
    from edgekd.cli.subjects import load_target
    from edgekd.errors import ConfigError, UsageError
    from edgekd.stages.targets import device_of

    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise UsageError(f"there are no target files in {folder}", hint="`edgekd target list FOLDER`")
    width = max(len(str(path)) for path in paths)
    broken = 0
    for path in paths:
        try:
            profile = load_target(path)
        except ConfigError as error:
            broken += 1
            typer.echo(f"{path!s:<{width}}  ✗ {error}")
            continue
        limits = ", ".join(f"{name} {value:,.10g}" for name, value in profile.limits if value is not None)
        typer.echo(f"{path!s:<{width}}  {profile.name} · {device_of(profile).place} · {limits or 'no limits'}")
    raise typer.Exit(2 if broken else 0)


@app.command()
def setup(
    target: TargetFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched.")] = False,
) -> None:
    """Make a target ready: build the system that an emulated one runs in; on others say what is missing.

    Says first what it fetches. Interrupted, the same command goes on.
    """
    from rich.console import Console

    from edgekd.cli.subjects import load_target
    from edgekd.report.progress import progress_for
    from edgekd.stages.targets import device_of

    profile = load_target(target)
    device = device_of(profile)
    for line in device.fetches:
        typer.echo(f"fetches {line}" if not line.startswith("into ") else line)
    if dry_run:
        return
    try:
        device.setup(progress_for(Console(stderr=True)))
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"✓ {profile.name} ({device.place}) is ready")


def _facts(health: Health) -> list[tuple[str, str]]:
    environment = health.environment
    machine = environment.machine
    facts = [
        ("processor", f"{machine.cpu} ({machine.machine}), {machine.cores} cores"),
        ("instructions", " ".join(machine.isa) or "none that matter"),
        ("memory", f"{machine.memory_bytes / 1e9:.1f} GB"),
        ("system", f"{machine.system}, Python {machine.python}, numpy {machine.numpy}"),
        ("onnxruntime", f"{machine.onnxruntime}: {', '.join(machine.providers)}"),
        ("governor", machine.governor or "none is shown"),
    ]
    if environment.frequency_hz is not None:
        facts.append(("clock", f"{environment.frequency_hz[1] / 1e9:.2f} GHz"))
    if environment.temperature_c is not None:
        facts.append(("temperature", f"{environment.temperature_c[1]:.0f} °C"))
    if machine.virtual:
        facts.append(("virtual", machine.virtual))
    return facts
