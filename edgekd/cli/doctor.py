"""`edgekd doctor`: what on a target will disturb a measurement, and how to mend it."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekd.cli.subjects import TargetFile


def doctor(
    target: TargetFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say what on a target will disturb a measurement, and how to mend it.

    Looks at the frequency governor, SMT, other load, the virtual machine, limits of the container, the temperature,
    the 8-bit instructions, and at how often a busy loop is interrupted there. Exits with 0 whatever it finds, and
    with 5 if the target cannot be reached.
    """
    from rich.console import Console

    from edgekd.cli.subjects import load_target
    from edgekd.harness.doctor import examine
    from edgekd.report.doctor import print_health
    from edgekd.stages.targets import device_of

    profile = load_target(target)
    health = examine(device_of(profile), profile.runtime)
    if as_json:
        typer.echo(health.model_dump_json(indent=1))
    else:
        print_health(health, profile.name, Console())
