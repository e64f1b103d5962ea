"""`edgekd gc`: makes room in the store."""

from __future__ import annotations

from typing import Annotated

import typer


def gc(
    days: Annotated[
        float,
        typer.Option("--unused-for", metavar="DAYS", min=0, help="Remove what no run has used for so many days."),
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove from the store what no recent run used."""
    from edgekd.pipeline.collect import collect
    from edgekd.pipeline.store import Store, store_root

    store = Store(store_root())
    gone = collect(store, older_than_days=days, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    typer.echo(
        f"{verb} {gone.records} results, {gone.blobs} files and {gone.work_folders} unfinished stages: "
        f"{gone.freed_bytes / 1e6:.1f} MB in {store.root}"
    )
