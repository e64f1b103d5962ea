"""The nodes that try files on targets: screening, choice, validation, measuring, and further seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from edgekd.config.networks import CONTROL, STUDENT, TEACHER
from edgekd.config.pipeline import Pipeline
from edgekd.config.target import TargetProfile
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.plan import Node
from edgekd.records.screening import FP32
from edgekd.stages.candidates import limit_of
from edgekd.stages.choose import ChooseStage
from edgekd.stages.count import CountStage
from edgekd.stages.layout import LayoutStage
from edgekd.stages.measure import MeasureStage
from edgekd.stages.network_nodes import exports, finetuned, finetuning, made_of, training
from edgekd.stages.networks import Network, TrainedNetwork, member_of
from edgekd.stages.optimise import OptimiseStage
from edgekd.stages.remake import RemakeStage
from edgekd.stages.screen import ScreenStage
from edgekd.stages.seeds import SeedsStage
from edgekd.stages.shift import ShiftStage
from edgekd.stages.targets import device_of
from edgekd.stages.validate import ValidateStage
from edgekd.stages.wiring import CONTRACT, SHIPPING, VALIDATION, Wiring, beside_of


def on_targets(
    pipeline: Pipeline, candidates: Mapping[str, Scheme], modality: str, networks: Mapping[str, Network]
) -> Iterator[Node]:
    quantize = pipeline.config.quantize
    beside, controlled = beside_of(pipeline, networks), CONTROL in networks
    names = tuple(candidates)
    allowed = tuple(name for name, scheme in candidates.items() if scheme in quantize.candidates)
    targets = pipeline.targets
    timed = [
        target for target in targets if not device_of(target).emulated
    ]  # an emulated processor's times say nothing
    files: Wiring = {f"model@{name}": (f"quantize@{name}", "model") for name in names}
    records: Wiring = {f"candidate@{name}": (f"quantize@{name}", "candidate") for name in names}

    def node(
        stage: LayoutStage
        | ScreenStage
        | ChooseStage
        | ValidateStage
        | ShiftStage
        | OptimiseStage
        | MeasureStage
        | CountStage,
        inputs: Wiring,
    ) -> Node:
        target = stage.target
        here = device_of(target).machine
        return Node(f"{stage.name}@{target.name}", stage, inputs, target.name, target=target.name, machine=here)

    def compared(target: str) -> Wiring:
        """The files of which one ships there, and of the others that it is held against."""
        chosen: Wiring = {"model": (f"choose@{target}", "model"), "choice": (f"choose@{target}", "choice")}
        return {"teacher": (f"export@{TEACHER}", "model"), "fp32": (f"quantize@{FP32}", "model"), **chosen}

    def everybody(target: str) -> Wiring:
        """All files that there are to compare on a target, and what they are asked about."""
        files = {f"{name}.{FP32}": (f"export@{name}", "model") for name in beside}
        control: Wiring = {CONTROL: (f"remake@{CONTROL}.{target}", "model")} if controlled else {}
        return {**compared(target), **files, **control, "test": ("data", "test")}

    for target in targets:
        yield node(LayoutStage(target, modality), {"fp32": (f"export@{STUDENT}", "model")})
    for target in targets:
        screening = ScreenStage(
            target, modality, candidates, allowed, quantize.max_accuracy_drop, pipeline.config.export
        )
        yield node(screening, {**VALIDATION, **files, **records})
    for target in targets:
        choosing = ChooseStage(
            target,
            names,
            allowed,
            quantize.objective,
            quantize.max_accuracy_drop,
        )
        yield node(choosing, {"screening": (f"screen@{target.name}", "screening"), **files})
    for target in targets if controlled else ():
        yield from remade(pipeline, networks[CONTROL], target, candidates, modality, networks)
    for target in targets:
        yield node(ValidateStage(target, modality, beside), {**everybody(target.name), **VALIDATION})
    if pipeline.config.shifts.given():
        for target in targets:
            stage = ShiftStage(target, modality, beside, pipeline.config.shifts)
            yield node(stage, {**everybody(target.name), **CONTRACT})
    for target in targets:
        chosen = {port: (f"choose@{target.name}", port) for port in ("model", "choice")}
        golden = (f"validate@{target.name}", "golden")
        yield node(OptimiseStage(target, modality), {**chosen, **CONTRACT, "golden": golden})
    # after all validations: so `--from measure` repeats measuring alone, and on this machine nothing runs beside it
    for target in timed:
        yield node(MeasureStage(target, modality), {**compared(target.name), **VALIDATION})
    for target in targets:
        if device_of(target).counts:
            yield node(CountStage(target, modality), {**compared(target.name), **VALIDATION})


def remade(
    pipeline: Pipeline,
    network: Network,
    target: TargetProfile,
    candidates: Mapping[str, Scheme],
    modality: str,
    known: Mapping[str, Network],
) -> Iterator[Node]:
    """Of a network what was chosen of the student's on a target."""
    subject = f"{network.name}.{target.name}"
    wiring = {**made_of(network.name), "choice": (f"choose@{target.name}", "choice")}
    for node in finetuning(pipeline, cast("TrainedNetwork", network), candidates, modality, known, target.name):
        wiring |= finetuned(subject)
        yield node
    limits = {name: limit_of(pipeline.config.quantize, scheme) for name, scheme in candidates.items()}
    stage = RemakeStage(network.name, candidates, limits, modality, pipeline.config.export)
    yield Node(f"remake@{subject}", stage, wiring, subject, target=target.name, machine=device_of(target).machine)


def repeated_nodes(
    pipeline: Pipeline, networks: Mapping[str, Network], candidates: Mapping[str, Scheme], modality: str
) -> Iterator[Node]:
    """The student and its like again with further seeds, of the same teachers, and their files on each target."""
    config = pipeline.config
    beside = beside_of(pipeline, networks)
    wiring: Wiring = {}
    for further in range(1, config.seeds):
        trained: dict[str, Network] = {
            member_of(name, further): network.again(further)
            for name in (STUDENT, *beside)
            if isinstance(network := networks[name], TrainedNetwork)
        }
        yield from training(pipeline, trained, modality, networks)
        yield from exports(pipeline, trained, modality)
        for name in (STUDENT, *beside):
            wiring[f"{name}.{FP32}@{further + 1}"] = (f"export@{member_of(name, further)}", "model")
    if config.seeds == 1:
        return
    seeds = tuple(config.seed + further for further in range(config.seeds))
    shipping = [(name, further) for name in SHIPPING if name in networks for further in range(1, config.seeds)]
    for target in pipeline.targets:
        for name, further in shipping:
            again = cast("TrainedNetwork", networks[name]).again(further)
            yield from remade(pipeline, again, target, candidates, modality, networks)
    for target in pipeline.targets:
        stage = SeedsStage(target, modality, seeds, beside)
        inputs: Wiring = {
            **CONTRACT,
            **wiring,
            **{
                f"{name}@{further + 1}": (f"remake@{member_of(name, further)}.{target.name}", "model")
                for name, further in shipping
            },
            "test": ("data", "test"),
            "choice": (f"choose@{target.name}", "choice"),
            "evaluation": (f"validate@{target.name}", "evaluation"),
        }
        machine = device_of(target).machine
        yield Node(f"seeds@{target.name}", stage, inputs, target.name, target=target.name, machine=machine)
