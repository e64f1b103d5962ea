"""The command line: parse, call, print, exit code. It imports no torch and no ONNX before a command needs them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgekd import __version__
from edgekd.cli import bench, check, doctor, gc, init, listing, plan, quantize, run, schema, show, sweep, target, verify
from edgekd.errors import ConfigError, EdgekdError

app = typer.Typer(
    name="edgekd",
    help="Labelled data in, a small quantized model out, with the evidence that it may ship.",
    epilog="Exit codes: 0 pass · 1 the gate refused · 2 bad usage or input · 3 undecided · 4 a stage or the store "
    "failed · 5 a target could not be reached · 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(plan.plan)
app.command()(sweep.sweep)
app.command()(show.show)
app.command()(bench.bench)
app.command()(check.check)
app.command()(quantize.quantize)
app.command()(doctor.doctor)
app.command()(verify.verify)
app.command()(verify.sign)
app.command()(verify.predict)
app.add_typer(target.app, name="target")
app.command()(init.init)
app.command("list")(listing.list_group)
app.command()(schema.schema)
app.command()(gc.gc)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgekd {__version__}")
        raise typer.Exit


@app.callback()
def edgekd(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """The console entry point: errors that edgekd raises on purpose become a line, a hint and an exit code."""
    try:
        app()
    except EdgekdError as error:
        _tell(error)
        for other in error.others if isinstance(error, ConfigError) else ():
            _tell(other)
        sys.exit(error.exit_code)


def _tell(error: EdgekdError) -> None:
    typer.echo(str(error), err=True)
    if error.hint:
        typer.echo(f"hint: {error.hint}", err=True)
