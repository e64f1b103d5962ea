"""What `edgekd bench` and `edgekd check` are given: model files or bundles, their inputs, and a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from edgekd.config.target import TargetProfile
    from edgekd.harness.subject import Subject
    from edgekd.records.bundle import Manifest

TargetFile = Annotated[
    Path | None,
    typer.Option("--target", metavar="FILE", help="The target file; without one: this machine, one thread."),
]
InputFile = Annotated[
    Path | None,
    typer.Option("--input", metavar="FILE", help="Inputs: .npy for a single input, .npz with an array by input name."),
]
Shapes = Annotated[
    list[str],
    typer.Option("--shape", metavar="NAME=1,3,224,224", help="Shape of an input that leaves it open. Repeatable."),
]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Time to measure, instead of the target's.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random order.")]


@dataclass(frozen=True)
class Given:
    """A model file, the files of its external data, and the bundle's manifest if it came in one."""

    path: Path
    beside: tuple[str, ...]
    manifest: Manifest | None


def load_target(path: Path | None, *, seconds: float | None = None, margin: float | None = None) -> TargetProfile:
    """The target, its measuring changed by the command line.

    Raises:
        ConfigError: as `check`; also for a time or a margin out of bounds.
    """
    from edgekd.config.check import check
    from edgekd.config.source import Source, assign, read_source
    from edgekd.config.target import TargetProfile

    source = Source(Path("--target"), {"name": "local", "device": "local"}, {}) if path is None else read_source(path)
    for key, value in (("seconds", seconds), ("margin", margin)):
        if value is not None:
            source = assign(source, f"measure.{key}", repr(value), f"--{key}")
    return check(TargetProfile, source)


def given(path: Path) -> Given:
    """The model behind an argument: an ONNX file, or a bundle's folder.

    Raises:
        ConfigError: there is none, or it is not a whole ONNX model.
    """
    from edgekd.graph.inspect import external_files

    manifest = None
    if path.is_dir():
        from edgekd.release.verify import read_manifest

        manifest = read_manifest(path)
        path = path / manifest.model_file
    return Given(path, external_files(path), manifest)


def subjects_of(paths: Sequence[Path], shapes: Sequence[str], inputs: Path | None) -> dict[str, Subject]:
    """The models by the shortest names that tell them apart; a file given twice is measured twice.

    Raises:
        ConfigError: a model or the input file is not there or not whole.
        UsageError: a shape that is none.
    """
    chosen = shapes_of(shapes)
    found: dict[str, Subject] = {}
    for path in paths:
        names = [path.name, str(path)]
        name = next((each for each in names if each not in found and _tells_apart(each, path, paths)), str(path))
        copies = 2
        while name in found:
            name = f"{path} ({copies})"
            copies += 1
        found[name] = subject_of(given(path), chosen, inputs)
    return found


def subject_of(part: Given, shapes: Mapping[str, tuple[int, ...]], inputs: Path | None) -> Subject:
    """A model as the harness takes it.

    Raises:
        ConfigError: the input file is not there.
    """
    from edgekd.harness.subject import Subject

    if inputs is not None and not inputs.is_file():
        raise ConfigError(f"no such input file: {inputs}")
    return Subject(part.path, beside=part.beside, inputs=inputs, shapes=shapes)


def shapes_of(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes that were given, by input.

    Raises:
        UsageError: one that is none.
    """
    return dict(_shape(text) for text in texts)


def end_to_end(paths: Sequence[Path], subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """Each model, and beside it the same from raw pixels to label.

    Raises:
        UsageError: a plain model, which does not say how pixels become its input.
    """
    from edgekd.harness.protocol import Preprocess

    both: dict[str, Subject] = {}
    for path, (name, subject) in zip(paths, subjects.items(), strict=True):
        manifest = given(path).manifest
        if manifest is None:
            raise UsageError(
                f"--end-to-end: {path} is a plain model",
                hint="give a bundle: its manifest says how pixels become input",
            )
        image = manifest.contract.image
        both[name] = subject
        both[f"{name} end to end"] = replace(
            subject, inputs=path / manifest.golden.images, preprocess=Preprocess(mean=image.mean, std=image.std)
        )
    return both


def _tells_apart(name: str, path: Path, paths: Sequence[Path]) -> bool:
    return name == str(path) or sum(1 for other in paths if other.name == name) == 1


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not name or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--shape {text}: expected NAME=SIZES", hint="for example --shape input=1,3,224,224")
    return name, tuple(int(part) for part in parts)


def write_text(path: Path, text: str) -> None:
    """Writes a file that the user asked for, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
