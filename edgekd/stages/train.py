"""train: any network, from labels, from other networks, or from both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.errors import ConfigError, StageError
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.base import file_digest
from edgekd.records.contract import ModelContract
from edgekd.records.network import NetworkRecord
from edgekd.stages.modality import training_identity
from edgekd.stages.networks import GivenNetwork, Network, TrainedNetwork

if TYPE_CHECKING:
    from torch import nn

    from edgekd.training.teachers import Teaching


@dataclass(frozen=True)
class TrainStage(Stage):
    """`sources`: the networks that this one learns from; the weights of those trained here arrive at `weights@NAME`."""

    network: TrainedNetwork
    sources: tuple[Network, ...]
    modality: str

    name = "train"
    outputs = {"weights": "weights.safetensors", "training": "training.json"}
    records = {"training": NetworkRecord}
    seeded = True

    @property
    def libraries(self) -> tuple[str, ...]:
        given = any(isinstance(each, GivenNetwork) for each in self.sources)
        return ("torch", "torchvision", "numpy", *(("onnxruntime",) if given else ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        weights = (f"weights@{each.name}" for each in self.sources if isinstance(each, TrainedNetwork))
        return ("train", "validation", "contract", *weights)

    def identity(self) -> JsonValue:
        network = self.network
        options = {} if network.options is None else identity(network.options)
        return {
            **options,
            "model": network.model.identity(),
            "losses": [loss.identity() for loss in network.losses] if network.options else [],
            "checkpoint": None if network.checkpoint is None else file_digest(network.checkpoint),
            "teachers": {
                each.name: each.identity() if isinstance(each, GivenNetwork) else each.model.identity()
                for each in self.sources
            },
            "modality": training_identity(self.modality),
        }

    def environment(self) -> dict[str, JsonValue]:
        if self.network.options is None:
            return {}
        return {"precision": precision_here(self.network.options.precision)}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.training.loop import TrainingData, train
        from edgekd.training.network import build_network, describe_network
        from edgekd.training.weights import load_weights, save_weights

        network, contract = self.network, load_record(ModelContract, inputs["contract"])
        data = TrainingData(load_split(inputs["train"]), load_split(inputs["validation"]), contract)
        module = build_network(network.model, contract, context.seed)
        if network.checkpoint is not None:
            try:
                load_weights(module, network.checkpoint)
            except ConfigError as error:
                error.where = f"{network.section}.checkpoint"
                raise
        teachers = {each.name: self._teacher(each, contract, inputs) for each in self.sources}
        self._warn_of_small_teachers(context, module, teachers)
        result = None
        if network.options is not None:
            result = train(
                module,
                network.losses,
                data,
                network.options,
                seed=context.seed,
                precision=precision_here(network.options.precision),
                work=context.work,
                progress=context.progress,
                section=network.section,
                name=network.name,
                teachers=teachers,
            )
        record = describe_network(module, data, result, tuple(each.name for each in self.sources))
        save_weights(module, context.output("weights"))
        save_record(context.output("training"), record)
        return f"{record.parameters:,} parameters, {record.validation_accuracy:.2%} of validation right"

    @staticmethod
    def _teacher(source: Network, contract: ModelContract, inputs: Mapping[str, Path]) -> Teaching:
        from edgekd.training.network import trained_network
        from edgekd.training.teachers import Given, Live

        if isinstance(source, GivenNetwork):
            return Given(source.open(contract))
        return Live(trained_network(source.model, contract, inputs[f"weights@{source.name}"]))

    def _warn_of_small_teachers(self, context: Context, module: nn.Module, teachers: Mapping[str, Teaching]) -> None:
        from edgekd.training.network import count_parameters
        from edgekd.training.teachers import Live

        size = count_parameters(module)
        for name, teacher in teachers.items():
            if isinstance(teacher, Live) and size >= count_parameters(teacher.module):
                context.warn(
                    f"{self.network.name} has {size:,} parameters, {name} {count_parameters(teacher.module):,}: "
                    "nothing is gained by distilling"
                )

    def accept(self, outputs: Mapping[str, Path]) -> None:
        from edgekd.stages.files import load_record

        reached = load_record(NetworkRecord, outputs["training"]).validation_accuracy
        wanted, section = self.network.min_accuracy, self.network.section
        if reached < wanted:
            raise StageError(
                f"{self.network.name} is right on {reached:.2%} of the validation samples, "
                f"{section}.min_accuracy asks for {wanted:.2%}",
                where=section,
                hint=f"train it for longer, give it more width or data, or lower {section}.min_accuracy",
            )


def precision_here(asked: str) -> Literal["float32", "bfloat16"]:
    """The arithmetic of a training on this processor: without instructions for it, bfloat16 is slower than float32."""
    if asked != "auto":
        return "bfloat16" if asked == "bfloat16" else "float32"
    from edgekd.agent.identify import identity as machine

    isa = machine()["isa"]
    return "bfloat16" if "avx512_bf16" in isa or "amx_bf16" in isa else "float32"
