"""`edgekd verify`, `edgekd sign` and `edgekd predict`: a bundle, checked, vouched for, and used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.config.target import TargetProfile
    from edgekd.records.bundle import Manifest

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

    The golden images are answered on this machine, or with a target file on its target: a board over SSH, an emulated
    ARM processor. The same bundle always makes the same bytes of an archive.

    Exits with 0 when nothing is wrong, with 1 when something is, with 5 when the target cannot be reached.
    """
    from edgekd.release.archive import write_archive

    with _unpacked(bundle) as folder:
        problems = [] if key is None else _unsigned(folder, key)
        where = "here"
        if not problems and target is not None and target.endswith((".yaml", ".yml")):
            problems, where = _on_target(folder, Path(target))
        elif not problems:
            from edgekd.release.verify import verify as problems_of

            problems = problems_of(folder, target)
        for problem in problems:
            typer.echo(f"✗ {problem}")
        if problems:
            raise typer.Exit(1)
        if archive is not None:
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
    from edgekd.release.sign import sign as sign_bundle
    from edgekd.release.verify import verify as problems_of

    problems = problems_of(bundle)
    if problems:
        raise ConfigError(f"not signed: {problems[0]}", hint=f"`edgekd verify {bundle}` lists every problem")
    made = sign_bundle(bundle, key)
    typer.echo(f"✓ {bundle} is signed with the key {made.key[:16]}...")


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


@contextmanager
def _unpacked(bundle: Path) -> Iterator[Path]:
    """The bundle's folder; that of an archive is gone afterwards."""
    import tempfile

    from edgekd.release.archive import unpack_archive

    if not bundle.is_file():
        yield bundle
        return
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        unpack_archive(bundle, Path(name) / "bundle")
        yield Path(name) / "bundle"


def _unsigned(folder: Path, key: Path) -> list[str]:
    from edgekd.errors import ConfigError
    from edgekd.release.sign import signature_problems

    try:
        return signature_problems(folder, key)
    except ConfigError as error:
        return [str(error)]


def _on_target(folder: Path, path: Path) -> tuple[list[str], str]:
    """The problems found when the target answers the golden images, and where that was, in words."""
    from edgekd.cli.subjects import load_target
    from edgekd.release.verify import verify_elsewhere
    from edgekd.stages.targets import device_of, machine_of

    profile = load_target(path)
    machine = machine_of(device_of(profile))

    def replay(model: Path, manifest: Manifest, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _answers(profile, model, manifest, images)

    problems = verify_elsewhere(folder, str(machine["onnxruntime"]), replay)
    return problems, f"on {profile.name} ({machine['machine']}, onnxruntime {machine['onnxruntime']})"


def _answers(profile: TargetProfile, model: Path, manifest: Manifest, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    from edgekd.data.contract import normalise
    from edgekd.harness.driver import predict as predict_on
    from edgekd.progress import Silent
    from edgekd.stages.targets import device_of

    fed = normalise(images, manifest.contract.image)
    return predict_on(device_of(profile), profile.runtime, {"model": model}, fed, Silent())["model"]
