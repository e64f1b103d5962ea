"""What `edgekd bench` and `edgekd check` are given: model files or bundles, their inputs, and a target."""

from __future__ import annotations

import os
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
    """A model file, the files of its external data, the session options that it ships with, and the bundle's folder
    and manifest if it came in one."""

    path: Path
    beside: tuple[str, ...]
    session: Mapping[str, str]
    folder: Path | None
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


def given(path: Path, target: str) -> Given:
    """The model behind an argument: an ONNX file, or what a bundle's folder ships for the target of that name, else
    for its first. A file in a bundle's folder has the session options that it ships with: without them it may take
    twice as long.

    Raises:
        ConfigError: there is none, or it is not a whole ONNX model.
    """
    from edgekd.graph.inspect import external_files

    if not path.is_dir():
        return Given(path, external_files(path), _shipped_session(path), None, None)
    from edgekd.release.verify import read_manifest

    manifest = read_manifest(path)
    shipped = manifest.shipped(target if target in manifest.targets else None)
    file = path / shipped.file
    return Given(file, external_files(file), shipped.session, path, manifest)


def _shipped_session(file: Path) -> Mapping[str, str]:
    """None of its own for a file that no manifest beside it names."""
    if not (file.parent / "manifest.json").is_file():
        return {}  # without the runtime, which reading a manifest imports
    from edgekd.release.verify import read_manifest

    try:
        manifest = read_manifest(file.parent)
    except ConfigError:
        return {}
    return next((each.session for each in manifest.models.values() if each.file == file.name), {})


def named(paths: Sequence[Path], target: str) -> dict[str, Given]:
    """The models by the shortest names that tell them apart; a file given twice is measured twice.

    Raises:
        ConfigError: a model is not there or not whole.
    """
    found: dict[str, Given] = {}
    for path in paths:
        names = [path.name, str(path)]
        name = next((each for each in names if each not in found and _tells_apart(each, path, paths)), str(path))
        copies = 2
        while name in found:
            name = f"{path} ({copies})"
            copies += 1
        found[name] = given(path, target)
    return found


def subject_of(part: Given, shapes: Mapping[str, tuple[int, ...]], inputs: Path | None) -> Subject:
    """A model as the harness takes it.

    Raises:
        ConfigError: the input file is not there.
    """
    from edgekd.harness.subject import Subject

    if inputs is not None and not inputs.is_file():
        raise ConfigError(f"no such input file: {inputs}")
    if inputs is None and part.manifest is not None and part.folder is not None:
        shapes = {**_usual_shapes(part.manifest, part.folder), **shapes}
    return Subject(part.path, beside=part.beside, session=part.session, inputs=inputs, shapes=shapes)


def _usual_shapes(manifest: Manifest, folder: Path) -> dict[str, tuple[int, ...]]:
    """Of one sample, for the inputs whose length varies: as long as 90 % of the golden samples need."""
    if not any(each.varies for each in manifest.contract.inputs):
        return {}
    import numpy as np

    from edgekd.data.modalities.base import usual_lengths

    try:
        samples = np.load(folder / manifest.golden_samples, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {folder / manifest.golden_samples}: {error}") from error
    lengths = usual_lengths(manifest.contract, samples)
    return {each.name: (1, *each.shape[:-1], lengths[each.name]) for each in manifest.contract.inputs if each.varies}


def shapes_of(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes that were given, by input.

    Raises:
        UsageError: one that is none.
    """
    return dict(_shape(text) for text in texts)


def end_to_end(parts: Mapping[str, Given], subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """Each model, and beside it the same from raw samples to label.

    Raises:
        UsageError: a plain model, which does not say how samples become its input.
    """
    from edgekd.data.modalities.base import source_of, specs_of
    from edgekd.harness.subject import Preprocessing

    both: dict[str, Subject] = {}
    for name, subject in subjects.items():
        manifest, folder = parts[name].manifest, parts[name].folder
        if manifest is None or folder is None:
            raise UsageError(
                f"--end-to-end: {parts[name].path} is a plain model",
                hint="give a bundle: its manifest says how raw samples become input",
            )
        contract = manifest.contract
        both[name] = subject
        both[f"{name} end to end"] = replace(
            subject,
            inputs=folder / manifest.golden_samples,
            preprocess=Preprocessing(source_of(contract.modality), tuple(specs_of(contract))),
        )
    return both


def _tells_apart(name: str, path: Path, paths: Sequence[Path]) -> bool:
    return name == str(path) or sum(1 for other in paths if other.name == name) == 1


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not name or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--shape {text}: expected NAME=SIZES", hint="for example --shape input=1,3,224,224")
    return name, tuple(int(part) for part in parts)


def can_be_written(path: Path, option: str) -> None:
    """Before the work whose result goes there.

    Raises:
        UsageError: it is a folder, or its folder is not there or takes no file.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path}: that is a folder", hint="give the name of a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{option} {path}: nothing can be written to {path.parent}")


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
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
