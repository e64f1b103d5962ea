"""teacher: the network to learn from, trained here or loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.pipeline import TeacherSection
from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError, StageError
from edgekd.models.base import Model
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.records.network import NetworkRecord

TRAINING_CODE = ("models/base.py", "models/blocks.py", "models/staged.py", "training", "data/contract.py")
TRAINING_LIBRARIES = ("torch", "torchvision", "numpy")


def arithmetic(options: TrainingOptions) -> dict[str, JsonValue]:
    """What of the processor decides a training: with `precision: auto`, whether it is made for bfloat16."""
    if options.precision != "auto":
        return {}
    from edgekd.harness.environment import machine_identity

    isa = machine_identity()["isa"]
    assert isinstance(isa, list)
    return {"bfloat16": "avx512_bf16" in isa or "amx_bf16" in isa}


@dataclass(frozen=True)
class TeacherStage(Stage):
    section: TeacherSection
    model: Model

    name = "teacher"
    inputs = ("train", "validation", "contract")
    outputs = {"weights": "teacher.safetensors", "training": "training.json"}
    code = (*TRAINING_CODE, "stages/teacher.py")
    libraries = TRAINING_LIBRARIES
    seeded = True

    def identity(self) -> JsonValue:
        return identity(self.section, without=frozenset({"min_accuracy"}))

    def environment(self) -> dict[str, JsonValue]:
        return arithmetic(self.section)

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_images, load_record, save_record
        from edgekd.training.loop import TrainingData, train
        from edgekd.training.losses.cross_entropy import CrossEntropy
        from edgekd.training.network import build_network, describe_network
        from edgekd.training.objective import objective_from
        from edgekd.training.weights import load_weights, save_weights

        contract = load_record(ModelContract, inputs["contract"])
        data = TrainingData(load_images(inputs["train"]), load_images(inputs["validation"]), contract.image)
        network = build_network(self.model, contract, context.seed)
        if self.section.checkpoint is not None:
            try:
                load_weights(network, self.section.checkpoint)
            except ConfigError as error:
                error.where = "teacher.checkpoint"
                raise
        result = None
        if self.section.epochs > 0:
            labels = CrossEntropy(use="cross_entropy", label_smoothing=self.section.label_smoothing)
            result = train(
                network,
                objective_from([labels], temperature=1.0),
                data,
                self.section,
                seed=context.seed,
                work=context.work,
                progress=context.progress,
                label="teacher",
            )
        record = describe_network(network, data, result)
        save_weights(network, context.output("weights"))
        save_record(context.output("training"), record)
        return f"{record.parameters:,} parameters, {record.validation_accuracy:.2%} of validation right"

    def accept(self, outputs: Mapping[str, Path]) -> None:
        from edgekd.stages.files import load_record

        reached = load_record(NetworkRecord, outputs["training"]).validation_accuracy
        if reached < self.section.min_accuracy:
            raise StageError(
                f"the teacher is right on {reached:.2%} of the validation images, "
                f"teacher.min_accuracy asks for {self.section.min_accuracy:.2%}",
                where="teacher",
                hint="train it for longer, give it more width or data, or lower teacher.min_accuracy",
            )
