"""The plan of a pipeline: which stages, with which options, wired how."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from pydantic import JsonValue

from edgekd.config.networks import CONTROL, STUDENT, TEACHER, network_sections
from edgekd.config.pipeline import Pipeline, with_choice
from edgekd.data.base import Dataset
from edgekd.errors import ConfigError
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.fp32 import Fp32
from edgekd.pipeline.plan import Node, Plan
from edgekd.records.screening import FP32
from edgekd.stages.choose import ChooseStage
from edgekd.stages.count import CountStage
from edgekd.stages.data import DataStage
from edgekd.stages.export import ExportStage
from edgekd.stages.measure import MeasureStage
from edgekd.stages.network_graph import networks_of
from edgekd.stages.networks import GivenNetwork, Network, TrainedNetwork, member_of
from edgekd.stages.quantize import QuantizeStage
from edgekd.stages.release import ReleaseStage
from edgekd.stages.screen import ScreenStage
from edgekd.stages.seeds import SeedsStage
from edgekd.stages.select import SelectStage
from edgekd.stages.shift import ShiftStage
from edgekd.stages.targets import device_of
from edgekd.stages.train import TrainStage
from edgekd.stages.transfer import TransferStage
from edgekd.stages.validate import ValidateStage

Wiring = dict[str, tuple[str, str]]
SHIPPING = (STUDENT, CONTROL)
SELECT, TRANSFER = "select", "transfer"
CONTRACT: Wiring = {"contract": ("data", "contract")}
VALIDATION: Wiring = {**CONTRACT, "validation": ("data", "validation")}
LEARNED_FROM: Wiring = {**VALIDATION, "train": ("data", "train")}


def assemble(pipeline: Pipeline) -> Plan:
    """data -> train and export networks -> quantize candidates -> on each target screen, choose, validate and measure
    -> release.

    Raises:
        ConfigError: losses that do not fit their networks, or a target on which nothing is demanded.
    """
    config = pipeline.config
    _require_evidence(pipeline)
    dataset = cast("Dataset", config.data)  # the schema chose it from the registry of its group
    transfer = cast("Dataset | None", config.distill.transfer)
    networks = networks_of(pipeline)
    candidates = named_candidates(cast("list[Scheme]", config.quantize.candidates))
    exported = (TEACHER, *SHIPPING, *config.variants)
    nodes = [
        Node("data", DataStage(dataset), {}),
        *([Node(TRANSFER, TransferStage(transfer), CONTRACT)] if transfer is not None else []),
        *_training(pipeline, networks, dataset.modality, networks),
        *_exports(pipeline, {name: each for name, each in networks.items() if name in exported}, dataset.modality),
        *_quantizing(candidates, dataset.modality, [name for name in SHIPPING if name in networks]),
        *_on_targets(pipeline, candidates, dataset.modality, networks),
        *_repeated(pipeline, networks, candidates, dataset.modality),
        _release(pipeline, networks, candidates, dataset.modality),
    ]
    return Plan(config.name, config.seed, tuple(nodes), origin=str(pipeline.source.path.resolve()))


def named_candidates(schemes: Sequence[Scheme]) -> dict[str, Scheme]:
    """The candidates by name: their scheme's, numbered where there are several of it. The fp32 file is always among
    them, for the others are made of it and held against it."""
    named: dict[str, Scheme] = {FP32: Fp32(use=FP32)}
    for scheme in schemes:
        count = sum(1 for each in named.values() if each.use == scheme.use)
        if scheme.use != FP32:
            named[f"{scheme.use}-{count + 1}" if count else scheme.use] = scheme
    return named


def _require_evidence(pipeline: Pipeline) -> None:
    """
    Raises:
        ConfigError: neither `release` nor the target demands anything that can be checked there.
    """
    if not pipeline.config.release.empty:
        return
    for target in pipeline.targets:
        emulated = device_of(target).emulated
        checked = [
            name
            for name in type(target.limits).model_fields
            if getattr(target.limits, name) is not None and not (emulated and name in target.limits.of_times)
        ]
        if not checked:
            raise ConfigError(
                f"release: nothing is demanded of the model on {target.name}: a verdict without evidence is none",
                where=pipeline.source.where(("release",)),
                hint="set release.max_accuracy_drop, or limits in the target file",
            )


def _training(
    pipeline: Pipeline, networks: Mapping[str, Network], modality: str, known: Mapping[str, Network]
) -> Iterator[Node]:
    """known: all that they may learn or start from. The student's like is trained with what is selected before."""
    select = pipeline.config.distill.select
    sections = network_sections(pipeline.config)
    for name, network in networks.items():
        if not isinstance(network, TrainedNetwork):
            continue
        stage = _train_stage(network, modality, known)
        wiring: Wiring = {**LEARNED_FROM, **{f"weights@{each}": (f"train@{each}", "weights") for each in stage.weighed}}
        like_student = name.partition(".")[0] not in sections
        if like_student and network.sources and pipeline.config.distill.transfer is not None:
            wiring["train"] = (TRANSFER, "train")
        if like_student and select is not None:
            if name == STUDENT:
                attempt = functools.partial(_attempt, pipeline, modality)
                trying = SelectStage(select, pipeline.config.distill.epochs, stage, attempt)
                yield Node(SELECT, trying, {**wiring}, name)
            stage = replace(stage, chosen=functools.partial(_chosen, pipeline, name))
            wiring["selection"] = (SELECT, "selection")
        yield Node(f"train@{name}", stage, wiring, name, further_seed=network.further_seed)


def _train_stage(network: TrainedNetwork, modality: str, known: Mapping[str, Network]) -> TrainStage:
    sources = tuple(known[each] for each in network.sources)
    origin = known[network.start.network] if network.start is not None else None
    assert not isinstance(origin, GivenNetwork)  # the configuration is checked
    return TrainStage(network, sources, modality, origin)


def _attempt(pipeline: Pipeline, modality: str, choice: Mapping[str, JsonValue]) -> TrainStage:
    """The student's training with these settings."""
    networks = networks_of(with_choice(pipeline, choice))
    return _train_stage(cast("TrainedNetwork", networks[STUDENT]), modality, networks)


def _chosen(pipeline: Pipeline, name: str, choice: Mapping[str, JsonValue]) -> TrainedNetwork:
    """The network of this name with these settings; of one that is trained again with a further seed too."""
    first, _, number = name.partition(".")
    network = cast("TrainedNetwork", networks_of(with_choice(pipeline, choice))[first])
    return network.again(int(number) - 1) if number else network


def _exports(pipeline: Pipeline, networks: Mapping[str, Network], modality: str) -> Iterator[Node]:
    """The teacher, to be held against, the student and the control, to ship and to be held against."""
    for name, network in networks.items():
        trained = isinstance(network, TrainedNetwork)
        wiring = {**VALIDATION, "weights": (f"train@{name}", "weights")} if trained else CONTRACT
        yield Node(f"export@{name}", ExportStage(pipeline.config.export, network, modality), wiring, name)


def _quantizing(candidates: Mapping[str, Scheme], modality: str, networks: Sequence[str]) -> Iterator[Node]:
    for network in networks:
        for name, scheme in candidates.items():
            if network != STUDENT and name == FP32:  # the fp32 file is there already, as it was exported
                continue
            candidate = _candidate_of(network, name)
            wiring: Wiring = {**CONTRACT, "train": ("data", "train"), "fp32": (f"export@{network}", "model")}
            stage = QuantizeStage(candidate, network, scheme, modality)
            yield Node(f"quantize@{candidate}", stage, wiring, candidate)


def _beside(pipeline: Pipeline, networks: Mapping[str, Network]) -> tuple[str, ...]:
    """The student's like, that it is held against: untaught, and taught otherwise."""
    return tuple(name for name in networks if name == CONTROL or name in pipeline.config.variants)


def _candidate_of(network: str, name: str) -> str:
    return name if network == STUDENT else f"{network}.{name}"


def _on_targets(
    pipeline: Pipeline, candidates: Mapping[str, Scheme], modality: str, networks: Mapping[str, Network]
) -> Iterator[Node]:
    quantize = pipeline.config.quantize
    beside, controlled = _beside(pipeline, networks), CONTROL in networks
    names = tuple(candidates)
    allowed = {scheme.use for scheme in quantize.candidates}
    targets = pipeline.targets
    timed = [
        target for target in targets if not device_of(target).emulated
    ]  # an emulated processor's times say nothing
    files: Wiring = {f"model@{name}": (f"quantize@{name}", "model") for name in names}
    records: Wiring = {f"candidate@{name}": (f"quantize@{name}", "candidate") for name in names}
    controls: Wiring = {
        f"control@{name}": (f"quantize@{_candidate_of(CONTROL, name)}", "model")
        for name in names
        if controlled and name != FP32
    }

    def node(
        stage: ScreenStage | ChooseStage | ValidateStage | ShiftStage | MeasureStage | CountStage, inputs: Wiring
    ) -> Node:
        target = stage.target
        here = device_of(target).machine
        return Node(f"{stage.name}@{target.name}", stage, inputs, target.name, target=target.name, machine=here)

    def compared(target: str) -> Wiring:
        """The files of which one ships there, and of the others that it is held against."""
        chosen: Wiring = {"model": (f"choose@{target}", "model"), "choice": (f"choose@{target}", "choice")}
        return {"teacher": (f"export@{TEACHER}", "model"), "fp32": (f"export@{STUDENT}", "model"), **chosen}

    def everybody(target: str) -> Wiring:
        """All files that there are to compare on a target, and what they are asked about."""
        files = {f"{name}.{FP32}": (f"export@{name}", "model") for name in beside}
        control: Wiring = {CONTROL: (f"choose@{target}", "control")} if controlled else {}
        return {**compared(target), **files, **control, "test": ("data", "test")}

    for target in targets:
        yield node(ScreenStage(target, modality, names), {**VALIDATION, **files, **records})
    for target in targets:
        choosing = ChooseStage(
            target,
            names,
            tuple(name for name, scheme in candidates.items() if scheme.use in allowed),
            quantize.objective,
            quantize.max_accuracy_drop,
            controlled,
        )
        yield node(choosing, {"screening": (f"screen@{target.name}", "screening"), **files, **controls})
    for target in targets:
        yield node(ValidateStage(target, modality, beside), {**everybody(target.name), **VALIDATION})
    if pipeline.config.shifts.given():
        for target in targets:
            stage = ShiftStage(target, modality, beside, pipeline.config.shifts)
            yield node(stage, {**everybody(target.name), **CONTRACT})
    # after all validations: so `--from measure` repeats measuring alone, and on this machine nothing runs beside it
    for target in timed:
        yield node(MeasureStage(target, modality), {**compared(target.name), **VALIDATION})
    for target in targets:
        if device_of(target).counts:
            yield node(CountStage(target, modality), {**compared(target.name), **VALIDATION})


def _repeated(
    pipeline: Pipeline, networks: Mapping[str, Network], candidates: Mapping[str, Scheme], modality: str
) -> Iterator[Node]:
    """The student and its like again with further seeds, of the same teachers, and their files on each target."""
    config = pipeline.config
    beside = _beside(pipeline, networks)
    wiring: Wiring = {}
    for further in range(1, config.seeds):
        again: dict[str, Network] = {
            member_of(name, further): network.again(further)
            for name in (STUDENT, *beside)
            if isinstance(network := networks[name], TrainedNetwork)
        }
        made = [member_of(name, further) for name in SHIPPING if name in networks]
        yield from _training(pipeline, again, modality, networks)
        yield from _exports(pipeline, again, modality)
        yield from _quantizing(candidates, modality, made)
        for name in (STUDENT, *beside):
            repeated = member_of(name, further)
            for candidate in candidates if repeated in made else (FP32,):
                maker = f"export@{repeated}" if candidate == FP32 else f"quantize@{_candidate_of(repeated, candidate)}"
                wiring[f"{_candidate_of(name, candidate)}@{further + 1}"] = (maker, "model")
    if config.seeds == 1:
        return
    seeds = tuple(config.seed + further for further in range(config.seeds))
    for target in pipeline.targets:
        stage = SeedsStage(target, modality, tuple(candidates), seeds, beside)
        inputs: Wiring = {
            **CONTRACT,
            **wiring,
            "test": ("data", "test"),
            "choice": (f"choose@{target.name}", "choice"),
            "evaluation": (f"validate@{target.name}", "evaluation"),
        }
        machine = device_of(target).machine
        yield Node(f"seeds@{target.name}", stage, inputs, target.name, target=target.name, machine=machine)


def _release(
    pipeline: Pipeline, networks: Mapping[str, Network], candidates: Mapping[str, Scheme], modality: str
) -> Node:
    config = pipeline.config
    trained = tuple(name for name, each in networks.items() if isinstance(each, TrainedNetwork))
    wiring: Wiring = {
        **LEARNED_FROM,
        "splits": ("data", "splits"),
        **{f"candidate@{name}": (f"quantize@{name}", "candidate") for name in candidates},
        **{f"training@{name}": (f"train@{name}", "training") for name in trained},
    }
    for target in pipeline.targets:
        name = target.name
        wiring |= {
            f"choose@{name}": (f"choose@{name}", "choice"),
            f"model@{name}": (f"choose@{name}", "model"),
            f"validate@{name}": (f"validate@{name}", "evaluation"),
            f"logits@{name}": (f"validate@{name}", "logits"),
            f"golden@{name}": (f"validate@{name}", "golden"),
        }
        if pipeline.config.seeds > 1:
            wiring[f"seeds@{name}"] = (f"seeds@{name}", "seeds")
        if not device_of(target).emulated:
            wiring[f"measure@{name}"] = (f"measure@{name}", "latency")
    stage = ReleaseStage(
        config.name, config.seed, config.release, pipeline.targets, tuple(candidates), trained, modality
    )
    return Node("release", stage, wiring)
