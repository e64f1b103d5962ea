"""`edgekd init`: a pipeline to start from, for the user's own images."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from edgekd.errors import UsageError


def init(
    images: Annotated[
        Path,
        typer.Argument(help="A folder (or .tar) of images by class: train/CLASS/* and test/CLASS/*, or CLASS/*."),
    ],
    to: Annotated[Path, typer.Option("--to", help="The pipeline file to write.")] = Path("pipelines/own.yaml"),
) -> None:
    """Write a commented pipeline for your own folder of images, and a target file for this machine."""
    try:
        _write(images, to)
    except (OSError, RuntimeError, UnicodeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
        named = error.filename if isinstance(error, OSError) and error.filename else to
        raise UsageError(
            f"cannot write a pipeline: {named}: {reason}", hint="choose another place with --to"
        ) from error


def _write(images: Path, to: Path) -> None:
    if not images.exists():
        raise UsageError(f"no such folder: {images}", hint="give the folder that holds one folder of images a class")
    if to.exists():
        raise UsageError(f"{to} is there already", hint="choose another name with --to")
    templates = resources.files("edgekd.cli") / "templates"
    beside = to.absolute().parent.name == "pipelines"  # then targets/ is beside it, else inside the file's folder
    target = (to.parent.parent if beside else to.parent) / "targets" / "local.yaml"
    text = (templates / "own.yaml").read_text(encoding="utf-8")
    to.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((templates / "local.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        typer.echo(f"wrote {target}")
    filled = text.replace("@NAME@", _yaml(_name(to.stem))).replace("@IMAGES@", _yaml(str(images.resolve())))
    filled = filled.replace("@TARGET@", "../targets/local.yaml" if beside else "targets/local.yaml")
    to.write_text(filled, encoding="utf-8")
    typer.echo(f"wrote {to}")
    typer.echo(f"next: edgekd run {to}")


def _name(stem: str) -> str:
    """A pipeline's name like it: letters, digits and `._-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-") or "own"


def _yaml(text: str) -> str:
    """The text as a YAML value, in quotes where it would be something else without."""
    import yaml

    return yaml.safe_dump(text, allow_unicode=True, width=10_000).partition("\n")[0]
