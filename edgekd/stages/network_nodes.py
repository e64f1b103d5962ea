"""The nodes that make networks and their files: training, export, quantization."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from pydantic import JsonValue

from edgekd.config.networks import STUDENT, network_sections
from edgekd.config.pipeline import Pipeline, with_choice
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.pipeline.plan import Node
from edgekd.stages.candidates import limit_of
from edgekd.stages.export import ExportStage
from edgekd.stages.finetune import FinetuneStage
from edgekd.stages.network_graph import networks_of
from edgekd.stages.networks import GivenNetwork, Network, TrainedNetwork
from edgekd.stages.quantize import QuantizeStage, trained_in_8_bits
from edgekd.stages.select import SelectStage
from edgekd.stages.train import TrainStage
from edgekd.stages.wiring import CONTRACT, LEARNED_FROM, SELECT, TRANSFER, VALIDATION, Wiring


def training(
    pipeline: Pipeline, networks: Mapping[str, Network], modality: str, known: Mapping[str, Network]
) -> Iterator[Node]:
    """known: all that they may learn or start from. The student's like is trained with what is selected before."""
    select = pipeline.config.distill.select
    for name, network in networks.items():
        if not isinstance(network, TrainedNetwork):
            continue
        stage, wiring = _training(pipeline, network, modality, known)
        if name == STUDENT and select is not None:
            attempt = functools.partial(_attempt, pipeline, modality)
            trying = SelectStage(select, pipeline.config.distill.epochs, replace(stage, chosen=None), attempt)
            yield Node(SELECT, trying, {port: wiring[port] for port in trying.inputs}, name)
        yield Node(f"train@{name}", stage, wiring, name, further_seed=network.further_seed)


def _training(
    pipeline: Pipeline, network: TrainedNetwork, modality: str, known: Mapping[str, Network]
) -> tuple[TrainStage, Wiring]:
    """How a network is trained, and what that needs."""
    stage = _train_stage(network, modality, known)
    wiring: Wiring = {
        **LEARNED_FROM,
        **{f"weights@{each}": (f"train@{each}", "weights") for each in stage.weighed},
    }
    if network.name.partition(".")[0] in network_sections(pipeline.config):
        return stage, wiring
    if network.sources and pipeline.config.distill.transfer is not None:
        wiring["train"] = (TRANSFER, "train")
    if pipeline.config.distill.select is not None:
        stage = replace(stage, chosen=functools.partial(_chosen, pipeline, network.name))
        wiring["selection"] = (SELECT, "selection")
    return stage, wiring


def finetuning(
    pipeline: Pipeline,
    network: TrainedNetwork,
    candidates: Mapping[str, Scheme],
    modality: str,
    known: Mapping[str, Network],
    target: str = "",
) -> Iterator[Node]:
    """A network in 8 bits, for each candidate that is trained so; target: for the one of them alone that was chosen
    there."""
    trained = {
        name: scheme
        for name, scheme in candidates.items()
        if isinstance(scheme, StaticInt8) and trained_in_8_bits(scheme)
    }
    training, wiring = _training(pipeline, network, modality, known)
    exported = made_of(network.name)
    wiring |= {"calibration": exported["train"], "fp32": exported["fp32"], "exported": exported["exported"]}
    limits = {name: limit_of(pipeline.config.quantize, scheme) for name, scheme in trained.items()}
    if not target:
        for name, scheme in trained.items():
            stage = FinetuneStage({name: scheme}, {name: limits[name]}, training, pipeline.config.export)
            yield Node(f"finetune@{name}", stage, wiring, name, further_seed=network.further_seed)
    elif trained:
        subject = f"{network.name}.{target}"
        chosen = FinetuneStage(trained, limits, training, pipeline.config.export, by_choice=True)
        choice: Wiring = {"choice": (f"choose@{target}", "choice")}
        further = network.further_seed
        yield Node(f"finetune@{subject}", chosen, wiring | choice, subject, target=target, further_seed=further)


def exports(pipeline: Pipeline, networks: Mapping[str, Network], modality: str) -> Iterator[Node]:
    """The teacher, to be held against, the student and the control, to ship and to be held against."""
    for name, network in networks.items():
        trained = isinstance(network, TrainedNetwork)
        wiring = {**VALIDATION, "weights": (f"train@{name}", "weights")} if trained else CONTRACT
        yield Node(f"export@{name}", ExportStage(pipeline.config.export, network, modality), wiring, name)


def quantizing(pipeline: Pipeline, candidates: Mapping[str, Scheme], modality: str) -> Iterator[Node]:
    for name, scheme in candidates.items():
        limit = None if trained_in_8_bits(scheme) else limit_of(pipeline.config.quantize, scheme)
        stage = QuantizeStage(name, scheme, modality, pipeline.config.export, limit)
        wiring = {**made_of(STUDENT), **finetuned(name)}
        yield Node(f"quantize@{name}", stage, {port: wiring[port] for port in stage.inputs}, name)


def made_of(network: str) -> Wiring:
    """What it may take to make a candidate of it."""
    return {**LEARNED_FROM, "fp32": (f"export@{network}", "model"), "exported": (f"export@{network}", "exported")}


def finetuned(subject: str) -> Wiring:
    """What a candidate is made of that was trained in 8 bits."""
    return {"trained": (f"finetune@{subject}", "model"), "finetuned": (f"finetune@{subject}", "finetuned")}


def _train_stage(network: TrainedNetwork, modality: str, known: Mapping[str, Network]) -> TrainStage:
    sources = tuple(known[each] for each in network.sources)
    origin = known[network.start.network] if network.start is not None else None
    assert not isinstance(origin, GivenNetwork)  # the configuration is checked
    lender = known[network.lender] if network.lender is not None else None
    assert not isinstance(lender, GivenNetwork)
    return TrainStage(network, sources, modality, origin, lender)


def _attempt(pipeline: Pipeline, modality: str, choice: Mapping[str, JsonValue]) -> TrainStage:
    """The student's training with these settings."""
    networks = networks_of(with_choice(pipeline, choice))
    return _train_stage(cast("TrainedNetwork", networks[STUDENT]), modality, networks)


def _chosen(pipeline: Pipeline, name: str, choice: Mapping[str, JsonValue]) -> TrainedNetwork:
    """The network of this name with these settings; of one that is trained again with a further seed too."""
    first, _, number = name.partition(".")
    network = cast("TrainedNetwork", networks_of(with_choice(pipeline, choice))[first])
    return network.again(int(number) - 1) if number else network
