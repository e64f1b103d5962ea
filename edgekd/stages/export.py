"""export: teacher and student as ONNX files that compute what torch did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.models.base import Model
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.records.exported import Exported, ExportedModel

PARITY_IMAGES = 512  # validation images on which both runtimes must agree


@dataclass(frozen=True)
class ExportStage(Stage):
    options: ExportOptions
    teacher: Model
    student: Model

    name = "export"
    inputs = ("contract", "validation", "teacher_weights", "student_weights")
    outputs = {"teacher": "teacher.onnx", "student": "student.onnx", "facts": "facts.json"}
    code = ("graph", "models/base.py", "models/blocks.py", "models/staged.py", "stages/export.py")
    libraries = ("torch", "onnx", "onnxscript", "onnxruntime")

    def identity(self) -> JsonValue:
        return {
            **identity(self.options),
            "teacher": self.teacher.identity(),
            "student": self.student.identity(),
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.data.contract import normalise
        from edgekd.graph.export import export_onnx
        from edgekd.graph.inspect import describe
        from edgekd.graph.parity import check_parity
        from edgekd.graph.runtime import run_onnx
        from edgekd.stages.files import load_images, load_record, save_record
        from edgekd.training.evaluate import predict_logits
        from edgekd.training.network import trained_network

        contract = load_record(ModelContract, inputs["contract"])
        images = load_images(inputs["validation"]).images[:PARITY_IMAGES]
        exported = {}
        with context.progress.task("export", 2) as advance:
            for name, model in (("teacher", self.teacher), ("student", self.student)):
                network = trained_network(model, contract, inputs[f"{name}_weights"])
                path = context.output(name)
                export_onnx(network, contract, path, self.options)
                expected = predict_logits(network, images, contract.image)
                actual = run_onnx(path, normalise(images, contract.image))
                exported[name] = ExportedModel(facts=describe(path), parity=check_parity(expected, actual))
                advance(note=name)
        save_record(context.output("facts"), Exported(**exported))
        sizes = ", ".join(f"{name} {each.facts.size_bytes:,} bytes" for name, each in exported.items())
        worst = max(each.parity.max_abs_difference for each in exported.values())
        return f"{sizes}; largest difference to torch {worst:.1e}"
