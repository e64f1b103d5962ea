"""The plan of a pipeline: which stages, with which options, wired how."""

from __future__ import annotations

from typing import cast

from edgekd.config.pipeline import Pipeline
from edgekd.data.base import Dataset
from edgekd.graph.quantization.base import Scheme
from edgekd.models.base import Model
from edgekd.pipeline.plan import Node, Plan
from edgekd.stages.count import CountStage
from edgekd.stages.data import DataStage
from edgekd.stages.distill import DistillStage
from edgekd.stages.export import ExportStage
from edgekd.stages.measure import MeasureStage
from edgekd.stages.quantize import QuantizeStage
from edgekd.stages.release import ReleaseStage
from edgekd.stages.targets import device_of
from edgekd.stages.teacher import TeacherStage
from edgekd.stages.validate import ValidateStage
from edgekd.training.losses.base import Loss

FILES = {"teacher": ("export", "teacher"), "student": ("export", "student"), "int8": ("quantize", "int8")}


def assemble(pipeline: Pipeline) -> Plan:
    """data -> teacher -> distill -> export -> quantize, then validate and measure once a target, then release."""
    config = pipeline.config
    dataset = cast("Dataset", config.data)  # the schema chose each from the registry of its group
    teacher_model, student_model = cast("Model", config.teacher.model), cast("Model", config.student.model)
    losses = tuple(cast("Loss", loss) for loss in config.distill.losses)
    scheme = cast("Scheme", config.quantize.scheme)
    learned_from = {port: ("data", port) for port in ("train", "validation", "contract")}
    nodes = [
        Node("data", DataStage(dataset), {}),
        Node("teacher", TeacherStage(config.teacher, teacher_model), learned_from),
        Node(
            "distill",
            DistillStage(config.distill, losses, student_model, teacher_model),
            {**learned_from, "teacher": ("teacher", "weights")},
        ),
        Node(
            "export",
            ExportStage(config.export, teacher_model, student_model),
            {
                "contract": ("data", "contract"),
                "validation": ("data", "validation"),
                "teacher_weights": ("teacher", "weights"),
                "student_weights": ("distill", "weights"),
            },
        ),
        Node(
            "quantize",
            QuantizeStage(scheme),
            {"contract": ("data", "contract"), "train": ("data", "train"), "student": ("export", "student")},
        ),
    ]
    files = {**FILES, "contract": ("data", "contract"), "validation": ("data", "validation")}
    tested = {**files, "test": ("data", "test")}
    names = [target.name for target in pipeline.targets]
    # an emulated processor's times say nothing
    timed = [target for target in pipeline.targets if not device_of(target).emulated]

    def node(stage: ValidateStage | MeasureStage | CountStage, inputs: dict[str, tuple[str, str]]) -> Node:
        target = stage.target
        return Node(f"{stage.name}@{target.name}", stage, inputs, target.name, device_of(target).machine)

    nodes += [node(ValidateStage(each), tested) for each in pipeline.targets]
    # after all validations: so `--from measure` repeats measuring alone, and on this machine nothing runs beside it
    nodes += [node(MeasureStage(each), files) for each in timed]
    nodes += [node(CountStage(each), files) for each in pipeline.targets if device_of(each).counts]
    answers = {f"validate@{name}": (f"validate@{name}", "evaluation") for name in names}
    answers |= {f"measure@{each.name}": (f"measure@{each.name}", "latency") for each in timed}
    if len(names) > 1:
        answers |= {f"logits@{name}": (f"validate@{name}", "logits") for name in names}
    nodes.append(
        Node(
            "release",
            ReleaseStage(config.name, config.seed, config.release, pipeline.targets),
            {
                **{port: ("data", port) for port in ("train", "validation", "contract")},
                "teacher_training": ("teacher", "training"),
                "student_training": ("distill", "training"),
                "int8_facts": ("quantize", "facts"),
                "int8": ("quantize", "int8"),
                "golden": (f"validate@{names[0]}", "golden"),
                **answers,
            },
        )
    )
    return Plan(config.name, config.seed, tuple(nodes))
