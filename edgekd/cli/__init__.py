"""The command line: parse, call, print, exit code. It imports no torch and no ONNX before a command needs them."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from edgekd import __version__
from edgekd.cli import (
    bench,
    check,
    doctor,
    fit,
    gc,
    init,
    listing,
    plan,
    quantize,
    run,
    schema,
    show,
    sweep,
    target,
    verify,
)
from edgekd.cli.edge import run_command

app = typer.Typer(
    name="edgekd",
    help="Labelled data in, a small quantized model out, with the evidence that it may ship.",
    epilog="Exit codes: 0 pass · 1 the gate refused · 2 bad usage or input · 3 undecided · 4 a stage or the store "
    "failed · 5 a target could not be reached · 70 a bug · 130 interrupted, 129 and 143 by SIGHUP and SIGTERM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(plan.plan)
app.command()(fit.fit)
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


def main() -> NoReturn:
    """The console entry point."""
    run_command(app)
