"""remake: of another network's fp32 file what was chosen of the student's, so that they are compared as they ship."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.export import ExportOptions
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.candidate import CandidateRecord
from edgekd.records.repair import RepairRecord
from edgekd.records.screening import FP32, ChoiceRecord
from edgekd.stages.modality import feeding_identity
from edgekd.stages.quantize import make


@dataclass(frozen=True)
class RemakeStage(Stage):
    """`network`: what it is made of; `candidates`: what may be chosen; `limits`: of each, what it may lose before it is
    repaired, None where it never is. Where the fp32 file is chosen, nothing is made."""

    network: str
    candidates: Mapping[str, Scheme]
    limits: Mapping[str, float | None]
    modality: str
    export: ExportOptions

    name = "remake"
    inputs = ("contract", "train", "validation", "fp32", "exported", "choice")
    outputs = {"model": "model.onnx", "candidate": "candidate.json", "repair": "repair.json"}
    records = {"candidate": CandidateRecord, "repair": RepairRecord}
    optional = frozenset({"model", "candidate", "repair"})
    libraries = ("onnx", "onnxruntime", "numpy")
    seeded = True  # which samples it is calibrated on

    def identity(self) -> JsonValue:
        return {
            "network": self.network,
            "candidates": {name: scheme.identity() for name, scheme in self.candidates.items()},
            "limits": dict(self.limits),
            "modality": feeding_identity(self.modality),
            "form": [self.export.input, self.export.output],
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record

        chosen = load_record(ChoiceRecord, inputs["choice"]).chosen
        if chosen == FP32:
            return "the fp32 file, as it is"
        scheme, limit = self.candidates[chosen], self.limits[chosen]
        return make(context, inputs, f"{self.network}.{chosen}", self.network, scheme, self.export, limit)
