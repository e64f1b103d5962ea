"""quantize: the student in 8 bits, calibrated on training images only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract


@dataclass(frozen=True)
class QuantizeStage(Stage):
    scheme: Scheme

    name = "quantize"
    inputs = ("contract", "train", "student")
    outputs = {"int8": "int8.onnx", "facts": "facts.json"}
    code = ("graph", "data/contract.py", "stages/quantize.py")
    libraries = ("onnx", "onnxruntime", "numpy")

    def identity(self) -> JsonValue:
        return self.scheme.identity()

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.data.contract import normalise
        from edgekd.graph.inspect import describe
        from edgekd.graph.quantization.calibrate import spread
        from edgekd.graph.quantization.quantize import quantize
        from edgekd.records.quantized import Quantized
        from edgekd.stages.files import load_images, load_record, save_record

        contract = load_record(ModelContract, inputs["contract"])
        images = spread(load_images(inputs["train"]).images, self.scheme.calibration_images)
        path = context.output("int8")
        with context.progress.task("quantize", 1) as advance:
            quantization = quantize(self.scheme, inputs["student"], normalise(images, contract.image), path)
            advance()
        record = Quantized(scheme=self.scheme.use, facts=describe(path), quantization=quantization)
        save_record(context.output("facts"), record)
        left = quantization.execution.float_operators
        if left:
            names = ", ".join(f"{count} {name}" for name, count in left.items())
            context.warn(f"quantize: operators that still compute in float: {names}")
        if quantization.saturates_without_vnni:
            context.progress.say(
                "  note: on x86 without VNNI these weights can overflow; set reduce_range for such a device"
            )
        return f"{record.facts.size_bytes:,} bytes, {record.facts.parameters:,} parameters"
