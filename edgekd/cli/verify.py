"""`edgekd verify`, `edgekd sign` and `edgekd predict`: a bundle, checked, vouched for, and used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.visible import on_one_line, visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.data.modalities.base import Feeds
    from edgekd.records.bundle import ShippedModel

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="Whose session settings of the bundle to use; else the first."),
]


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder, or its archive (.zip).")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="NAME|FILE.yaml",
            help="Replay with the session settings that the bundle has for NAME, or on the target of a target file.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="Refuse it unless signed with this public key's other half."),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", metavar="FILE.zip", help="When nothing is wrong, also write it as one file."),
    ] = None,
) -> None:
    """Check a bundle: its signature, every file as its manifest says, and the golden answers given again.

    The golden samples are answered on this machine, or with a target file on its target: a board over SSH, an emulated
    ARM processor; with a target its .ort file is asked too. The same bundle always makes the same bytes of an archive.

    Exits with 0 when nothing is wrong, with 1 when something is, with 5 when the target cannot be reached.
    """
    from edgekd.cli.subjects import can_be_written
    from edgekd.pipeline.store import guarded
    from edgekd.release.archive import write_archive

    if archive is not None:
        can_be_written(archive, "--archive")
    with _unpacked(bundle) as folder:
        problems = [] if key is None else _unsigned(folder, key)
        where = "here"
        if not problems and target is not None and target.endswith((".yaml", ".yml")):
            problems, where = _on_target(folder, Path(target))
        elif not problems:
            from edgekd.release.apart import verify_apart as problems_of

            problems = problems_of(folder, target)
        for problem in problems:
            typer.echo(f"✗ {visible(problem)}")
        if problems:
            raise typer.Exit(1)
        if archive is not None:
            with guarded(archive.parent):
                write_archive(folder, archive)
    signed = ", signed" if key is not None else ""
    typer.echo(f"✓ {bundle} is whole{signed} and computes {where} what it computed where it was made")
    if archive is not None:
        typer.echo(f"✓ written to {archive}")


def sign(
    bundle: Bundle,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key: ed25519, OpenSSH or PEM.")],
) -> None:
    """Vouch for a bundle: sign its manifest, which holds the digest of every other file.

    The bundle is verified first. `ssh-keygen -t ed25519 -N '' -f release-key` makes a key; give release-key.pub to
    those who are to verify: `edgekd verify BUNDLE --key release-key.pub`.
    """
    from edgekd.errors import ConfigError
    from edgekd.release.apart import verify_apart as problems_of
    from edgekd.release.sign import sign as sign_bundle

    problems = problems_of(bundle)
    if problems:
        raise ConfigError(f"not signed: {problems[0]}", hint=f"`edgekd verify {bundle}` lists every problem")
    made = sign_bundle(bundle, key)
    typer.echo(f"✓ {bundle} is signed with the key {made.key[:16]}...")


def predict(
    bundle: Bundle,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of samples: images, or rows of numbers.")
    ],
    target: Target = None,
) -> None:
    """Label and confidence of the samples in files, from the bundle alone."""
    from edgekd.errors import UsageError
    from edgekd.release.device.predict import UnusableError, limited
    from edgekd.release.verify import load_model, read_manifest

    try:
        with limited(code=2):
            model = load_model(bundle, read_manifest(bundle), target)
        answers = model.answers(files)
        while True:
            with limited(code=2):
                answer = next(answers, None)
            if answer is None:
                break
            typer.echo(f"{on_one_line(answer.name)}: {on_one_line(answer.label)} {answer.share:.2%}")
    except UnusableError as error:
        raise UsageError(on_one_line(str(error))) from error


@contextmanager
def _unpacked(bundle: Path) -> Iterator[Path]:
    """The bundle's folder; that of an archive is gone afterwards."""
    from edgekd.release.archive import unpack_archive
    from edgekd.temporary import temporary_folder

    if not bundle.is_file():
        yield bundle
        return
    with temporary_folder() as folder:
        unpack_archive(bundle, folder / "bundle")
        yield folder / "bundle"


def _unsigned(folder: Path, key: Path) -> list[str]:
    from edgekd.errors import ConfigError
    from edgekd.release.sign import signature_problems

    try:
        return signature_problems(folder, key)
    except ConfigError as error:
        return [str(error)]


def _on_target(folder: Path, path: Path) -> tuple[list[str], str]:
    """The problems found when the target gives the golden answers, and where that was, in words."""
    from edgekd.cli.subjects import load_target
    from edgekd.harness.answers import predict as predict_on
    from edgekd.harness.subject import Subject
    from edgekd.progress import Silent
    from edgekd.release.verify import verify_elsewhere
    from edgekd.stages.targets import device_of, machine_of

    profile = load_target(path)
    device = device_of(profile)
    machine = machine_of(device)

    def replay(model: Path, shipped: ShippedModel, feeds: Feeds) -> NDArray[np.float32]:
        subject = Subject(model, session=shipped.session)
        return predict_on(device, profile.runtime, {"model": subject}, feeds, Silent())["model"]

    problems = verify_elsewhere(folder, profile.name, str(machine["onnxruntime"]), replay)
    return problems, f"on {profile.name} ({machine['machine']}, onnxruntime {machine['onnxruntime']})"
