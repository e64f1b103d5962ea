"""`edgekd list`: what can be written behind `use:`."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from edgekd.config.registry import GROUPS


def list_group(
    group: Annotated[str, typer.Argument(metavar=f"[{'|'.join(GROUPS)}]", help="What to list.")],
) -> None:
    """List the names that `use:` takes, each with its options."""
    from edgekd.config.component import component_class, entry_points
    from edgekd.config.section import nearest
    from edgekd.errors import UsageError

    if group not in GROUPS:
        raise UsageError(f"there is no list of {group!r}", hint=nearest(group, GROUPS))
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
