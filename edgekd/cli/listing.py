"""`edgekd list`: what can be written behind `use:`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import typer

from edgekd.config.registry import GROUPS

LAYERS = "layers"


def list_group(
    group: Annotated[
        str | None,
        typer.Argument(metavar=f"[{'|'.join([*GROUPS, LAYERS])}]", help="What to list; by default all names."),
    ] = None,
    pipeline: Annotated[
        Path | None, typer.Argument(help="With layers: the pipeline whose networks are looked into.")
    ] = None,
) -> None:
    """List the names that `use:` takes, each with its options; or the layers of a pipeline's networks, for taps."""
    from edgekd.config.component import component_class, entry_points
    from edgekd.config.section import nearest
    from edgekd.errors import UsageError

    if group is None:
        for each in GROUPS.values():
            typer.echo(f"{each.name}: {', '.join((*each.members, *entry_points(each.name)))}")
        return
    if group == LAYERS:
        _list_layers(pipeline)
        return
    if group not in GROUPS:
        raise UsageError(f"there is no list of {group!r}", hint=nearest(group, [*GROUPS, LAYERS]))
    for name in GROUPS[group].members:
        component = component_class(GROUPS[group], name)
        typer.echo(f"{name}: {(inspect.getdoc(component) or '').splitlines()[0]}")
        for option, field in component.model_fields.items():
            if option == "use":
                continue
            default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)}"
            typer.echo(f"    {option}: {field.description or ''} ({default})")
    for name in entry_points(group):
        typer.echo(f"{name}: from an installed package")
    if GROUPS[group].custom:
        typer.echo("file.py:callable: your own")


def _list_layers(path: Path | None) -> None:
    from rich.console import Console

    from edgekd.config.pipeline import load_pipeline
    from edgekd.errors import UsageError
    from edgekd.report.progress import progress_for
    from edgekd.stages.layers import layers_of

    if path is None:
        raise UsageError("layers of which pipeline?", hint="edgekd list layers pipelines/digits.yaml")
    for network, layers in layers_of(load_pipeline(path), progress_for(Console(stderr=True))).items():
        typer.echo(f"{network}:")
        width = max((len(name) for name, _ in layers), default=0)
        for name, shape in layers:
            typer.echo(f"    {name:<{width}}  {' x '.join(map(str, shape))}")
