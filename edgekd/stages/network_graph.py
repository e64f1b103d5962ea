"""From the sections of a pipeline file to its networks, in the order of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from edgekd.config.component import component_class
from edgekd.config.networks import CONTROL, STUDENT, TEACHER, network_sections, training_order
from edgekd.config.pipeline import PeerSection, Pipeline, PipelineConfig, VariantSection
from edgekd.config.registry import LOSSES
from edgekd.config.reuse import ReusedClassifier
from edgekd.config.section import nearest
from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.base import Dataset
from edgekd.data.modalities.base import modality
from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.models.reused import Reused
from edgekd.stages.networks import GivenNetwork, Network, Peer, TrainedNetwork, member_of
from edgekd.teachers.base import Teacher
from edgekd.training.initialisers.base import Initialiser
from edgekd.training.losses.base import Loss, TaughtLoss
from edgekd.training.losses.sim_kd import ReusedFeatures
from edgekd.training.temperatures.base import Temperature, with_temperature


def networks_of(pipeline: Pipeline) -> dict[str, Network]:
    """By name, in the order of training.

    Raises:
        ConfigError: a loss listens to a network that does not teach it, or to teachers that are not there.
    """
    config = pipeline.config
    sections = network_sections(config)
    found: dict[str, Network] = {}
    for name in training_order(config):
        if name == STUDENT:
            found[name] = _reusing(_student(config), config.student.classifier, found)
            continue
        section = sections[name]
        dotted = name if name == TEACHER else f"networks.{name}"
        if section.given is not None:
            teacher = cast("Teacher", section.given)
            if name == TEACHER and teacher.model_file is None:
                raise ConfigError(
                    "teacher.given: the teacher must be a file that can be measured",
                    where=pipeline.source.where((TEACHER, "given")),
                    hint="give an ONNX file, or make this one of `networks:` and name it in `distill.from`",
                )
            found[name] = GivenNetwork(name, dotted, teacher)
            continue
        default = default_losses(taught=bool(section.sources), reuses=section.classifier is not None)
        losses = cast("list[Loss] | None", section.losses) or default
        first = TrainedNetwork(
            name=name,
            section=dotted,
            model=cast("Model", section.model),
            options=_options(section) if section.epochs else None,
            losses=tuple(with_temperature(losses, cast("Temperature", section.temperature))),
            sources=_members(config, section.sources),
            checkpoint=section.checkpoint,
            start=cast("Initialiser | None", section.start),
            min_accuracy=section.min_accuracy,
        )
        first = _reusing(first, section.classifier, found)
        found[name] = first
        for further in range(1, section.ensemble):
            member = first.again(further)
            found[member.name] = member
    for name, variant in config.variants.items():
        classifier = (variant if "classifier" in variant.model_fields_set else config.student).classifier
        found[name] = _reusing(_variant(config, name, variant), classifier, found)
    if config.distill.control:
        found[CONTROL] = _control(config)
    for each in found.values():
        if isinstance(each, TrainedNetwork):
            _check_losses(each, pipeline)
    return found


def _student(config: PipelineConfig) -> TrainedNetwork:
    losses = cast("list[Loss]", config.distill.losses)
    return TrainedNetwork(
        name=STUDENT,
        section="distill",
        model=cast("Model", config.student.model),
        options=_options(config.distill),
        losses=tuple(with_temperature(losses, cast("Temperature", config.distill.temperature))),
        sources=_members(config, config.distill.sources),
        start=cast("Initialiser | None", config.student.start),
        peers=_peers(config, config.distill.peers, "distill"),
    )


def _peers(config: PipelineConfig, sections: Mapping[str, PeerSection], section: str) -> tuple[Peer, ...]:
    return tuple(
        Peer(name, f"{section}.peers.{name}", cast("Model", each.model or config.student.model))
        for name, each in sections.items()
    )


def _reusing(
    network: TrainedNetwork, classifier: ReusedClassifier | None, known: Mapping[str, Network]
) -> TrainedNetwork:
    """The network with the classifier of a known one, if it is to have one."""
    if classifier is None:
        return network
    lender = known[classifier.network]
    assert isinstance(lender, TrainedNetwork)  # the configuration is checked
    model = Reused(use="reused", body=network.model, lender=lender.model, reduction=classifier.reduction)
    return replace(network, model=model, lender=lender.name)


def _members(config: PipelineConfig, sources: Sequence[str]) -> tuple[str, ...]:
    """The networks by these names, each with all of its ensemble."""
    sections = network_sections(config)
    return tuple(member_of(name, further) for name in sources for further in range(sections[name].ensemble))


def _variant(config: PipelineConfig, name: str, variant: VariantSection) -> TrainedNetwork:
    """The student with what the variant changes."""
    student = _student(config)
    assert student.options is not None
    losses = cast("list[Loss]", variant.losses or config.distill.losses)
    left_out = student.options.leave_out if variant.leave_out is None else variant.leave_out
    start = (variant if "start" in variant.model_fields_set else config.student).start
    return replace(
        student,
        name=name,
        section=f"variants.{name}" if variant.losses else "distill",  # where its losses stand
        options=student.options.model_copy(update={"leave_out": left_out}),
        losses=tuple(with_temperature(losses, cast("Temperature", variant.temperature or config.distill.temperature))),
        sources=_members(config, config.distill.sources if variant.sources is None else variant.sources),
        start=cast("Initialiser | None", start),
        peers=student.peers if variant.peers is None else _peers(config, variant.peers, f"variants.{name}"),
    )


def _control(config: PipelineConfig) -> TrainedNetwork:
    """The student with the same budget and order of samples, learning from the labels alone, from the weights that the
    student begins with, or would if it did not start from another network; with a classifier of its own and without a
    projector, for a frozen classifier without its features is nothing that anybody would ship.

    Its loss is the student's terms that need no teacher: their weights only scale a sum that has no other part. Where
    labels do not hold for changed samples it is shown them as they are: no teacher tells it what became of them.
    """
    options = _options(config.distill)
    if not modality(cast("Dataset", config.data).modality).LABELS_HOLD:
        options = options.model_copy(update={"augment": AugmentOptions()})
    untaught = [loss for loss in cast("list[Loss]", config.distill.losses) if not loss.taught]
    return TrainedNetwork(
        name=CONTROL,
        section="distill",
        model=cast("Model", config.student.model),
        options=options,
        losses=tuple(untaught or default_losses(taught=False)),
        sources=(),
    )


def _options(section: TrainingOptions) -> TrainingOptions:
    """What of a section says how to train."""
    return TrainingOptions.model_validate({each: getattr(section, each) for each in TrainingOptions.model_fields})


def default_losses(*, taught: bool, reuses: bool = False) -> list[Loss]:
    """Of a network for which the file says none."""
    wanted = {"cross_entropy": 0.1, "kd": 0.9} if taught else {"cross_entropy": 1.0}
    if taught and reuses:
        wanted = {"sim_kd": 1.0}
    return [
        cast("Loss", component_class(LOSSES, use).model_validate({"use": use, "weight": weight}))
        for use, weight in wanted.items()
    ]


def _check_losses(network: TrainedNetwork, pipeline: Pipeline) -> None:
    at = (*network.section.split("."), "losses")
    if network.peers and not network.sources and all(isinstance(loss, TaughtLoss) for loss in network.losses):
        raise ConfigError(
            f"{'.'.join(at)}: {network.name} and its peers learn from each other alone, and none knows anything",
            where=pipeline.source.where(at),
            hint="add cross_entropy, or a teacher to `from`",
        )
    for position, loss in enumerate(network.losses):
        what = f"{'.'.join(at)}.{position}"
        where = pipeline.source.where((*at, position))
        if network.options is not None:
            try:
                loss.check(network.options)
            except ConfigError as error:
                raise ConfigError(f"{what}: {error.what}", where=where, hint=error.hint) from None
        if not loss.taught:
            continue
        if not network.heard:
            raise ConfigError(
                f"{what}: {loss.use} needs a teacher, and {network.name} learns from nobody",
                where=where,
                hint=f"set {network.section}.from or .peers, or leave it out (an own one without: `labels_only: true`)",
            )
        if isinstance(loss, ReusedFeatures) and network.lender not in network.sources:
            does = "has a classifier of its own" if network.lender is None else f"does not learn from {network.lender}"
            raise ConfigError(
                f"{what}: sim_kd teaches the features of a reused classifier, and {network.name} {does}",
                where=where,
                hint=f"set `classifier: {{network: {(*network.sources, TEACHER)[0]}}}` beside its model"
                if network.lender is None
                else f"name {network.lender} in `from`, or leave the term out",
            )
        if isinstance(loss, TaughtLoss) and loss.network is not None and loss.network not in network.heard:
            raise ConfigError(
                f"{what}.network: {network.name} does not learn from {loss.network!r}",
                where=where,
                hint=f"{nearest(loss.network, network.heard)} (`from` and `peers` list them)",
            )
