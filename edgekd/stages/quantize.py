"""quantize: one candidate, made of a network's fp32 file, calibrated on training samples only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.export import ExportOptions
from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.stages.modality import feeding_identity


@dataclass(frozen=True)
class QuantizeStage(Stage):
    """`candidate`: its name, `network`: what it is made of."""

    candidate: str
    network: str
    scheme: Scheme
    modality: str
    export: ExportOptions

    name = "quantize"
    inputs = ("contract", "train", "fp32")
    outputs = {"model": "model.onnx", "candidate": "candidate.json"}
    records = {"candidate": CandidateRecord}
    optional = frozenset({"model"})
    libraries = ("onnx", "onnxruntime", "numpy")

    def identity(self) -> JsonValue:
        return {
            "candidate": self.candidate,
            "network": self.network,
            "scheme": self.scheme.identity(),
            "modality": feeding_identity(self.modality),
            "form": [self.export.input, self.export.output],
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import feeds_for, shipped_contract
        from edgekd.graph.device_form import DeviceForm
        from edgekd.graph.quantization.calibrate import spread
        from edgekd.graph.quantization.quantize import make_candidate
        from edgekd.stages.files import load_record, load_split, save_record

        contract = load_record(ModelContract, inputs["contract"])
        train = load_split(inputs["train"])
        samples = train.samples[spread(np.arange(len(train)), self.scheme.samples_wanted)]
        form = DeviceForm(contract, shipped_contract(contract, self.export))
        path = context.output("model")
        made, refused = None, ""
        with context.progress.task(f"quantize {self.candidate}", 1) as advance:
            try:
                made = make_candidate(self.scheme, inputs["fp32"], feeds_for(contract, samples), path, form)
            except StageError as error:
                path.unlink(missing_ok=True)
                refused = str(error)
            advance()
        record = CandidateRecord(
            name=self.candidate, network=self.network, scheme=self.scheme.use, file=made, refused=refused
        )
        save_record(context.output("candidate"), record)
        if made is None:
            context.warn(f"{self.candidate} cannot be made: {refused}")
            return f"cannot be made: {refused}"
        return f"{made.facts.size_bytes:,} bytes{_remarks(record)}"


def _remarks(record: CandidateRecord) -> str:
    """What its user should know of an 8-bit file: what is left in float, and where its sums overflow."""
    made = record.file
    if made is None or made.execution.in_float:
        return ""
    left = ", ".join(f"{count} {name}" for name, count in made.execution.float_operators.items())
    told = f", still in float: {left}" if left else ""
    return f"{told}{', overflows on x86 without VNNI' if made.saturates_without_vnni else ''}"
