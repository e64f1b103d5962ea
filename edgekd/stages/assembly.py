"""The plan of a pipeline: which stages, with which options, wired how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from edgekd.config.networks import STUDENT, TEACHER
from edgekd.config.pipeline import Pipeline
from edgekd.data.base import Dataset
from edgekd.data.modalities.base import modality
from edgekd.errors import ConfigError
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.plan import Node, Plan
from edgekd.stages.candidates import named_candidates
from edgekd.stages.data import DataStage
from edgekd.stages.export import ExportStage
from edgekd.stages.network_graph import networks_of
from edgekd.stages.network_nodes import exports, finetuning, quantizing, training
from edgekd.stages.networks import Network, TrainedNetwork
from edgekd.stages.preflight import PreflightStage
from edgekd.stages.release import ReleaseStage
from edgekd.stages.target_nodes import on_targets, repeated_nodes
from edgekd.stages.targets import device_of
from edgekd.stages.train import TrainStage
from edgekd.stages.transfer import TransferStage
from edgekd.stages.wiring import CONTRACT, LEARNED_FROM, SHIPPING, TRANSFER, VALIDATION, Wiring


def assemble(pipeline: Pipeline) -> Plan:
    """data -> train and export networks -> quantize candidates -> on each target screen, choose, validate and measure
    -> release.

    Raises:
        ConfigError: losses that do not fit their networks, raw samples asked for where there are none, or a target on
            which nothing is demanded.
    """
    config = pipeline.config
    _require_evidence(pipeline)
    dataset = cast("Dataset", config.data)  # the schema chose it from the registry of its group
    _check_form(pipeline, dataset.modality)
    transfer = cast("Dataset | None", config.distill.transfer)
    networks = networks_of(pipeline)
    candidates = named_candidates(cast("list[Scheme]", config.quantize.candidates))
    exported = (TEACHER, *SHIPPING, *config.variants)
    trained = list(training(pipeline, networks, dataset.modality, networks))
    nodes = [
        Node("data", DataStage(dataset), {}),
        *([Node(TRANSFER, TransferStage(transfer), CONTRACT)] if transfer is not None else []),
        _preflight(pipeline, networks[STUDENT], trained, dataset.modality),
        *trained,
        *exports(pipeline, {name: each for name, each in networks.items() if name in exported}, dataset.modality),
        *finetuning(pipeline, cast("TrainedNetwork", networks[STUDENT]), candidates, dataset.modality, networks),
        *quantizing(pipeline, candidates, dataset.modality),
        *on_targets(pipeline, candidates, dataset.modality, networks),
        *repeated_nodes(pipeline, networks, candidates, dataset.modality),
        _release(pipeline, networks, candidates, dataset.modality),
    ]
    return Plan(config.name, config.seed, tuple(nodes), origin=str(pipeline.source.path.resolve()))


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


def _check_form(pipeline: Pipeline, kind: str) -> None:
    """
    Raises:
        ConfigError: it asks for raw samples where no file can take them.
    """
    export = pipeline.config.export
    if "input" in export.model_fields_set and export.input == "raw" and not modality(kind).RAW:
        raise ConfigError(
            f"export.input: {modality(kind).NOUN} have no raw form that a file could take",
            where=pipeline.source.where(("export", "input")),
            hint="leave it out",
        )


def _preflight(pipeline: Pipeline, student: Network, trained: Sequence[Node], modality: str) -> Node:
    """trained: the nodes of all trainings."""
    config = pipeline.config
    every = {node.id: node.stage for node in trained if isinstance(node.stage, TrainStage)}
    wiring: Wiring = {**VALIDATION, "splits": ("data", "splits")}
    for node in trained:
        if node.id in every:
            wiring[node.id] = node.inputs["train"]
    stage = PreflightStage(
        tuple(each if each.chosen is None else replace(each, chosen=None) for each in every.values()),
        ExportStage(config.export, student, modality),
        config.release,
        pipeline.targets,
    )
    return Node("preflight", stage, wiring)


def _release(
    pipeline: Pipeline, networks: Mapping[str, Network], candidates: Mapping[str, Scheme], modality: str
) -> Node:
    config = pipeline.config
    trained = tuple(name for name, each in networks.items() if isinstance(each, TrainedNetwork))
    wiring: Wiring = {
        **LEARNED_FROM,
        "test": ("data", "test"),
        "splits": ("data", "splits"),
        **{f"candidate@{name}": (f"quantize@{name}", "candidate") for name in candidates},
        **{f"training@{name}": (f"train@{name}", "training") for name in trained},
    }
    for target in pipeline.targets:
        name = target.name
        wiring |= {
            f"screen@{name}": (f"screen@{name}", "screening"),
            f"choose@{name}": (f"choose@{name}", "choice"),
            f"model@{name}": (f"choose@{name}", "model"),
            f"validate@{name}": (f"validate@{name}", "evaluation"),
            f"logits@{name}": (f"validate@{name}", "logits"),
            f"golden@{name}": (f"validate@{name}", "golden"),
            f"optimise@{name}": (f"optimise@{name}", "optimised"),
            f"operators@{name}": (f"optimise@{name}", "operators"),
            f"ort@{name}": (f"optimise@{name}", "ort"),
        }
        if pipeline.config.seeds > 1:
            wiring[f"seeds@{name}"] = (f"seeds@{name}", "seeds")
        if not device_of(target).emulated:
            wiring[f"measure@{name}"] = (f"measure@{name}", "latency")
    stage = ReleaseStage(
        config.name, config.seed, config.release, pipeline.targets, tuple(candidates), trained, modality, config.export
    )
    return Node("release", stage, wiring)
