"""The schema of a pipeline file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from edgekd.config.check import check
from edgekd.config.component import Component, Use
from edgekd.config.export import ExportOptions
from edgekd.config.section import Section
from edgekd.config.source import Source, assign, read_source
from edgekd.config.target import TargetProfile
from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError, UsageError


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Relative paths are meant from the folder of the file that names them."""
    folder = (info.context or {}).get("folder", Path())
    found = path if path.is_absolute() else Path(folder) / path
    if not found.is_file():
        raise ValueError(f"no such file: {path}")
    return found


BesideFile = Annotated[Path, AfterValidator(_beside_the_file)]


class TeacherSection(TrainingOptions):
    """The network to learn from: trained here, or loaded."""

    epochs: int = Field(ge=0, description="passes over the training images; 0 only with a checkpoint")
    model: Annotated[Component, Use("models")] = Field(description="architecture and its options")
    checkpoint: BesideFile | None = Field(
        None, description="weights to start from (.safetensors, or .pt holding plain tensors)"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each label spread evenly over all classes")
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="validation accuracy below which it is not worth learning from"
    )


class StudentSection(Section):
    """The network that ships."""

    model: Annotated[Component, Use("models")] = Field(description="architecture and its options")


class DistillSection(TrainingOptions):
    """How the student learns: a weighted sum of loss terms."""

    temperature: float = Field(
        4.0,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="softens both networks' outputs in every term that sets none of its own",
    )
    losses: list[Annotated[Component, Use("losses")]] = Field(
        min_length=1, description="the terms of the loss, each with its weight"
    )


class QuantizeSection(Section):
    scheme: Annotated[Component, Use("schemes")] = Field(description="how weights and activations become integers")


class ReleaseSection(Section):
    """What the quantized student must reach on the test images."""

    max_accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="accuracy it may lose against the teacher (0.005: half a point)"
    )
    min_agreement: float | None = Field(
        None, ge=0, le=1, description="share of images on which it must give the teacher's answer"
    )
    min_accuracy: float | None = Field(None, ge=0, le=1, description="accuracy it must reach")


class PipelineConfig(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the folder runs/NAME")
    seed: int = Field(0, ge=0, lt=2**32, description="source of all randomness")
    data: Annotated[Component, Use("datasets")] = Field(description="labelled images")
    teacher: TeacherSection
    student: StudentSection
    distill: DistillSection
    export: ExportOptions = Field(default_factory=ExportOptions)
    quantize: QuantizeSection
    targets: list[Path] = Field(min_length=1, description="target files: where the model must run")
    release: ReleaseSection


@dataclass(frozen=True)
class Pipeline:
    """A pipeline file and the target files it names, checked."""

    source: Source
    config: PipelineConfig
    targets: tuple[TargetProfile, ...]


def load_pipeline(path: Path, *, assignments: Sequence[str] = (), seed: int | None = None) -> Pipeline:
    """The checked pipeline, with `key.path=value` assignments applied.

    Raises:
        UsageError: an assignment without `=`.
        ConfigError: anything wrong in the file, in a target file, or in an assignment.
    """
    source = read_source(path)
    for assignment in assignments:
        dotted, equals, value = assignment.partition("=")
        if not equals or not dotted:
            raise UsageError(f"--set {assignment}: expected key=value", hint="for example --set distill.temperature=6")
        source = assign(source, dotted.strip(), value)
    if seed is not None:
        source = assign(source, "seed", str(seed), "--seed")
    config = check(PipelineConfig, source)
    if config.teacher.epochs == 0 and config.teacher.checkpoint is None:
        raise ConfigError(
            "teacher.epochs: 0 needs a checkpoint to load",
            where=source.where(("teacher", "epochs")),
            hint="set teacher.checkpoint, or epochs of 1 or more",
        )
    return Pipeline(source, config, tuple(_targets(source, config)))


def _targets(source: Source, config: PipelineConfig) -> list[TargetProfile]:
    folder = source.path.resolve().parent
    profiles: list[TargetProfile] = []
    for position, entry in enumerate(config.targets):
        where = source.where(("targets", position))
        path = entry if entry.is_absolute() else folder / entry
        if not path.is_file():
            there = ", ".join(sorted(found.name for found in path.parent.glob("*.yaml")))
            hint = f"in {path.parent} there is {there}" if there else "see `edgekd init` for an example"
            raise ConfigError(f"targets.{position}: no such file: {entry}", where=where, hint=hint)
        profile = check(TargetProfile, read_source(path))
        if any(profile.name == other.name for other in profiles):
            raise ConfigError(f"targets.{position}: two targets are named {profile.name!r}", where=where)
        profiles.append(profile)
    return profiles
