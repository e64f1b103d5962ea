"""distill: the student, learning from the teacher and the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.pipeline import DistillSection
from edgekd.models.base import Model
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.stages.teacher import TRAINING_CODE, TRAINING_LIBRARIES, arithmetic
from edgekd.training.losses.base import Loss


@dataclass(frozen=True)
class DistillStage(Stage):
    section: DistillSection
    losses: tuple[Loss, ...]
    student: Model
    teacher: Model

    name = "distill"
    inputs = ("train", "validation", "contract", "teacher")
    outputs = {"weights": "student.safetensors", "training": "training.json"}
    code = (*TRAINING_CODE, "stages/distill.py")
    libraries = TRAINING_LIBRARIES
    seeded = True

    def identity(self) -> JsonValue:
        return {
            **identity(self.section),
            "student": self.student.identity(),
            "teacher": self.teacher.identity(),
        }

    def environment(self) -> dict[str, JsonValue]:
        return arithmetic(self.section)

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_images, load_record, save_record
        from edgekd.training.loop import TrainingData, train
        from edgekd.training.network import build_network, count_parameters, describe_network, trained_network
        from edgekd.training.objective import objective_from
        from edgekd.training.weights import save_weights

        contract = load_record(ModelContract, inputs["contract"])
        data = TrainingData(load_images(inputs["train"]), load_images(inputs["validation"]), contract.image)
        teacher = trained_network(self.teacher, contract, inputs["teacher"])
        student = build_network(self.student, contract, context.seed)
        size, teacher_size = count_parameters(student), count_parameters(teacher)
        if size >= teacher_size:
            context.warn(
                f"the student has {size:,} parameters, the teacher {teacher_size:,}: nothing is gained by distilling"
            )
        result = train(
            student,
            objective_from(self.losses, self.section.temperature),
            data,
            self.section,
            seed=context.seed,
            work=context.work,
            progress=context.progress,
            label="distill",
            teacher=teacher,
        )
        record = describe_network(student, data, result)
        save_weights(student, context.output("weights"))
        save_record(context.output("training"), record)
        return f"{record.parameters:,} parameters, {record.validation_accuracy:.2%} of validation right"
