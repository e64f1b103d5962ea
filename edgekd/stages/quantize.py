"""quantize: one candidate, made of the student's fp32 file, calibrated on training samples only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.networks import STUDENT
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.records.exported import ExportedRecord
from edgekd.records.repair import RepairRecord
from edgekd.stages.candidates import made_or_refused, told_of
from edgekd.stages.modality import feeding_identity

if TYPE_CHECKING:
    from edgekd.graph.quantization.repair import Judge


@dataclass(frozen=True)
class QuantizeStage(Stage):
    """`candidate`: its name. max_accuracy_drop: what an 8-bit file may lose before it is repaired; None: never."""

    candidate: str
    scheme: Scheme
    modality: str
    max_accuracy_drop: float | None = None

    name = "quantize"
    outputs = {"model": "model.onnx", "candidate": "candidate.json", "repair": "repair.json"}
    records = {"candidate": CandidateRecord, "repair": RepairRecord}
    optional = frozenset({"model", "repair"})
    libraries = ("onnx", "onnxruntime", "numpy")
    seeded = True  # which samples it is calibrated on

    @property
    def inputs(self) -> tuple[str, ...]:
        named = ("exported",) if self.scheme.repairable else ()
        judged = ("validation",) if self.max_accuracy_drop is not None else ()
        return ("contract", "train", "fp32", *named, *judged)

    def identity(self) -> JsonValue:
        return {
            "candidate": self.candidate,
            "scheme": self.scheme.identity(),
            "modality": feeding_identity(self.modality),
            "repaired_above": self.max_accuracy_drop,
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        return make(context, inputs, self.candidate, STUDENT, self.scheme, self.max_accuracy_drop)


def make(
    context: Context,
    inputs: Mapping[str, Path],
    candidate: str,
    network: str,
    scheme: Scheme,
    max_accuracy_drop: float | None,
) -> str:
    """Writes a candidate of a network and its records, or why it cannot be made; returns the headline."""
    from edgekd.data.balance import balanced_rows
    from edgekd.data.modalities.base import fed_in_parts
    from edgekd.stages.files import load_record, load_split, save_record

    contract = load_record(ModelContract, inputs["contract"])
    train = load_split(inputs["train"])
    rows = balanced_rows(train.labels, scheme.samples_wanted, context.seed)
    feeds = fed_in_parts(contract, train.only(rows).samples)
    layers = load_record(ExportedRecord, inputs["exported"]).layers if scheme.repairable else ()
    judge = None
    if max_accuracy_drop is not None:
        judge = _judge(contract, inputs["validation"], scheme, max_accuracy_drop)
    with context.progress.task(f"quantize {candidate}", 1) as advance:
        record, repair = made_or_refused(
            candidate, network, scheme, inputs["fp32"], feeds, context.output("model"), layers, judge
        )
        advance()
    save_record(context.output("candidate"), record)
    if repair is not None:
        save_record(context.output("repair"), repair)
    if record.file is None:
        context.warn(f"{candidate} cannot be made: {record.refused}")
    return told_of(record, repair)


def _judge(contract: ModelContract, validation: Path, scheme: Scheme, max_accuracy_drop: float) -> Judge:
    from edgekd.data.modalities.base import fed_in_parts
    from edgekd.graph.quantization.repair import Judge
    from edgekd.stages.files import load_split

    split = load_split(validation)
    return Judge(fed_in_parts(contract, split.samples), split.labels, max_accuracy_drop, scheme.session)
