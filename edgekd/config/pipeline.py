"""The schema of a pipeline file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator

from edgekd.config.check import check
from edgekd.config.component import Component, Use
from edgekd.config.export import ExportOptions
from edgekd.config.fit import FitSection
from edgekd.config.networks import check_networks
from edgekd.config.paths import BesideFile
from edgekd.config.quantize import QuantizeSection
from edgekd.config.reuse import ReusedClassifier
from edgekd.config.section import Section
from edgekd.config.select import SelectSection
from edgekd.config.shifts import ShiftOptions
from edgekd.config.source import KeyPath, Source, assign, read_source
from edgekd.config.sweep import Setting, SweepSection
from edgekd.config.target import TargetProfile
from edgekd.config.training import ClassName, TrainingOptions
from edgekd.errors import ConfigError, UsageError, placed

SEEDS = 2**32
"""How many there are, from 0."""
DEFAULT_TEMPERATURE: Any = 4.0
Losses = list[Annotated[Component, Use("losses")]]
Start = Annotated[Component, Use("initialisers")] | None
Sources = Annotated[list[str], Field(alias="from", description="the networks that teach it, by name")]


class NetworkSection(TrainingOptions):
    """A network: trained here (`model`), loaded (`model` and `checkpoint`), or `given` as something that answers."""

    model: Annotated[Component, Use("models")] | None = Field(None, description="architecture and its options")
    given: Annotated[Component, Use("teachers")] | None = Field(
        None, description="what answers in its place, for example an ONNX file; it is not trained"
    )
    epochs: int = Field(0, ge=0, description="passes over the training samples; 0 only for one that is loaded or given")
    checkpoint: BesideFile | None = Field(
        None, description="weights to start from (.safetensors, or .pt holding plain tensors)"
    )
    ensemble: int = Field(
        1,
        ge=1,
        le=16,
        description="how many of it are trained, each with the next seed; whoever learns from it learns from all, and "
        "the first is what the student is held against",
    )
    start: Start = Field(None, description="weights to start from, made of those of another network; by default fresh")
    classifier: ReusedClassifier | None = Field(
        None, description="whose classifier it ends in, frozen, behind a projector; by default its own"
    )
    sources: Sources = Field(default_factory=list, alias="from")
    temperature: Annotated[Component, Use("temperatures")] = Field(
        DEFAULT_TEMPERATURE, validate_default=True, description="for every term of `losses` that sets none of its own"
    )
    losses: Losses | None = Field(
        None,
        min_length=1,
        description="the terms of the loss, each with its weight; by default cross_entropy, with teachers 0.1 of it "
        "and 0.9 of kd, with `classifier` sim_kd",
    )
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="validation accuracy below which it is not worth learning from"
    )


class StudentSection(Section):
    """The network that ships."""

    model: Annotated[Component, Use("models")] = Field(description="architecture and its options")
    start: Start = Field(
        None, description="weights to start from, made of those of another network; by default fresh; not the control's"
    )
    classifier: ReusedClassifier | None = Field(
        None,
        description="whose classifier it ends in, frozen, behind a projector that ships; by default its own, as the "
        "control's is",
    )


class PeerSection(Section):
    """A network that is trained together with the student, and learns from it as it does from the network."""

    model: Annotated[Component, Use("models")] | None = Field(
        None, description="architecture and its options; by default the student's"
    )


class DistillSection(TrainingOptions):
    """How the student learns: a weighted sum of loss terms."""

    sources: Sources = Field(default_factory=lambda: ["teacher"], alias="from")
    temperature: Annotated[Component, Use("temperatures")] = Field(
        DEFAULT_TEMPERATURE,
        validate_default=True,
        description="softens outputs in every term that sets none of its own",
    )
    losses: Losses = Field(min_length=1, description="the terms of the loss, each with its weight")
    peers: dict[str, PeerSection] = Field(
        default_factory=dict,
        max_length=16,
        description="networks by name that are trained together with the student, by the same terms: each learns from "
        "what the others say in the same step, as from a teacher; only the student is kept",
    )
    transfer: Annotated[Component, Use("datasets")] | None = Field(
        None,
        description="other samples of the same kind, whose training part, without its labels, the student and its "
        "variants are shown instead",
    )
    select: SelectSection | None = Field(
        None, description="settings that are chosen on validation samples, in trainings before the student's"
    )
    control: bool = Field(
        False,
        description="trains the same student without a teacher too, to see what distillation gained; of texts it is "
        "shown unchanged ones, for a label need not hold for a changed text",
    )


class VariantSection(Section):
    """The student taught otherwise, with all else as in `distill`; it is shown beside the student and never ships."""

    sources: list[str] | None = Field(None, alias="from", description="the networks that teach it, by name")
    temperature: Annotated[Component, Use("temperatures")] | None = Field(
        None, description="softens outputs in every term that sets none of its own"
    )
    losses: Losses | None = Field(None, min_length=1, description="the terms of the loss, each with its weight")
    peers: dict[str, PeerSection] | None = Field(
        None,
        max_length=16,
        description="networks by name that are trained together with it; none with {}; by default the student's",
    )
    start: Start = Field(None, description="weights to start from; null: fresh, where the student starts from others")
    classifier: ReusedClassifier | None = Field(
        None, description="whose classifier it ends in; null: its own, where the student ends in another's"
    )
    leave_out: tuple[ClassName, ...] | None = Field(None, description="classes of which it is shown no sample")

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("is the student itself\ngive it losses, a temperature or teachers of its own")
        return self


class ReleaseSection(Section):
    """What the file that ships must reach on the test samples."""

    max_accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="accuracy it may lose against the teacher (0.005: half a point)"
    )
    min_agreement: float | None = Field(
        None, ge=0, le=1, description="share of samples on which it must give the teacher's answer"
    )
    min_accuracy: float | None = Field(None, ge=0, le=1, description="accuracy it must reach")

    @property
    def empty(self) -> bool:
        """Whether it demands nothing."""
        return all(getattr(self, name) is None for name in type(self).model_fields)


class PipelineConfig(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the folder runs/NAME")
    seed: int = Field(0, ge=0, lt=SEEDS, description="source of all randomness")
    seeds: int = Field(
        1,
        ge=1,
        le=100,
        description="how often the student is trained, each time with the next seed, to see how much accuracy varies; "
        "the first one ships",
    )
    data: Annotated[Component, Use("datasets")] = Field(description="labelled samples")
    teacher: NetworkSection
    networks: dict[str, NetworkSection] = Field(
        default_factory=dict, description="further networks by name, to learn from: assistants, other teachers"
    )
    student: StudentSection
    distill: DistillSection
    variants: dict[str, VariantSection] = Field(
        default_factory=dict, description="other ways to teach the student, by name, to see which is best"
    )
    export: ExportOptions = Field(default_factory=ExportOptions)
    quantize: QuantizeSection = Field(default_factory=QuantizeSection)
    shifts: ShiftOptions = Field(
        default_factory=ShiftOptions, description="other conditions under which the accuracy is shown too"
    )
    targets: list[Path] = Field(min_length=1, description="target files: where the model must run")
    sweep: SweepSection | None = Field(None, description="what `edgekd sweep` tries; a run does not read it")
    release: ReleaseSection
    fit: FitSection | None = Field(
        None, description="how `edgekd fit` finds the student's shape; nothing else reads it"
    )


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
    return _checked(source)


def with_setting(pipeline: Pipeline, setting: Setting, seed: int) -> Pipeline:
    """The pipeline with these values for keys of the file, each blamed on where it stands in `sweep` or on --set.

    Raises:
        ConfigError: a key does not exist, or not with such a value beside the others.
    """
    source = pipeline.source
    for key, value in setting.items():
        place = ("sweep", "space", key)
        where = pipeline.source.where(place) if place in pipeline.source.lines else "--set"
        with placed(where):
            source = assign(source, key, json.dumps(value), where)
    return _checked(assign(source, "seed", str(seed), "--seeds"))


def _checked(source: Source) -> Pipeline:
    config = check(PipelineConfig, source)
    check_networks(config, source)
    check_seeds(config.seed, config.seeds, source, ("seeds",))
    pipeline = Pipeline(source, config, tuple(_targets(source, config)))
    if config.distill.select is not None:
        for key, place, example in config.distill.select.examples():
            with_choice(pipeline, {key: example}, source.where(("distill", "select", "space", key, place)))
    return pipeline


def check_seeds(first: int, count: int, source: Source, at: KeyPath) -> None:
    """at: the key that asks for so many.

    Raises:
        ConfigError: the last of them is none, so that nobody could train with it again.
    """
    last = first + count - 1
    if last >= SEEDS:
        key = ".".join(map(str, at))
        raise ConfigError(
            f"{key}: the last of {count} from {first} on is {last}, and no seed is above {SEEDS - 1}",
            where=source.where(at),
            hint=f"give `seed` up to {SEEDS - count}",
        )


def with_choice(pipeline: Pipeline, choice: Mapping[str, JsonValue], where: str = "distill.select") -> Pipeline:
    """The pipeline with these settings of `distill`, by their keys below it; `where` they come from.

    Raises:
        ConfigError: a setting does not exist, or not with such a value.
    """
    source = pipeline.source
    for key, value in choice.items():
        with placed(where):
            source = assign(source, f"distill.{key}", json.dumps(value), where)
    return replace(pipeline, source=source, config=check(PipelineConfig, source))


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
