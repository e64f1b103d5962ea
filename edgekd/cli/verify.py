"""`edgekd verify` and `edgekd predict`: a bundle, checked and used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="Whose session settings of the bundle to use; else the first."),
]


def verify(bundle: Bundle, target: Target = None) -> None:
    """Check a bundle: every file as its manifest says, and the golden answers given again on this machine.

    Exits with 0 when nothing is wrong, else with 1.
    """
    from edgekd.release.verify import verify as problems_of

    problems = problems_of(bundle, target)
    for problem in problems:
        typer.echo(f"✗ {problem}")
    if problems:
        raise typer.Exit(1)
    typer.echo(f"✓ {bundle} is whole and computes here what it computed where it was made")


def predict(
    bundle: Bundle,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    target: Target = None,
) -> None:
    """Label and confidence of images, from the bundle alone."""
    from edgekd.errors import UsageError
    from edgekd.release.device.predict import Model, UnusableError, load_manifest, softmax

    try:
        model = Model(bundle, load_manifest(bundle), target)
        for path in images:
            shares = softmax(model.logits(model.read(path)[None]))[0]
            best = int(shares.argmax())
            typer.echo(f"{path}: {model.classes[best]} {shares[best]:.2%}")
    except UnusableError as error:
        raise UsageError(str(error)) from error
