"""quantize: one candidate, made of the student's fp32 file, calibrated on training samples only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.export import ExportOptions
from edgekd.config.networks import STUDENT
from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.candidate import CandidateRecord, MadeFile
from edgekd.records.contract import ModelContract
from edgekd.records.exported import ExportedRecord
from edgekd.records.finetuned import FinetunedRecord
from edgekd.records.repair import RepairRecord
from edgekd.stages.candidates import Made, made_of_fp32, made_or_refused, told_of
from edgekd.stages.modality import feeding_identity

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import DeviceForm
    from edgekd.graph.quantization.repair import Judge


@dataclass(frozen=True)
class QuantizeStage(Stage):
    """`candidate`: its name. max_accuracy_drop: what an 8-bit file may lose before it is repaired, if ever."""

    candidate: str
    scheme: Scheme
    modality: str
    export: ExportOptions
    max_accuracy_drop: float | None = None

    name = "quantize"
    outputs = {"model": "model.onnx", "candidate": "candidate.json", "repair": "repair.json"}
    records = {"candidate": CandidateRecord, "repair": RepairRecord}
    optional = frozenset({"model", "repair"})
    libraries = ("onnx", "onnxruntime", "numpy")
    seeded = True  # which samples it is calibrated on

    @property
    def inputs(self) -> tuple[str, ...]:
        if trained_in_8_bits(self.scheme):
            return ("contract", "train", "trained", "finetuned")
        named = ("exported",) if self.scheme.repairable else ()
        judged = ("validation",) if self.max_accuracy_drop is not None else ()
        return ("contract", "train", "fp32", *named, *judged)

    def identity(self) -> JsonValue:
        return {
            "candidate": self.candidate,
            "scheme": self.scheme.identity(),
            "modality": feeding_identity(self.modality),
            "repaired_above": self.max_accuracy_drop,
            "form": [self.export.input, self.export.output],
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        return make(context, inputs, self.candidate, STUDENT, self.scheme, self.export, self.max_accuracy_drop)


def make(
    context: Context,
    inputs: Mapping[str, Path],
    candidate: str,
    network: str,
    scheme: Scheme,
    export: ExportOptions,
    max_accuracy_drop: float | None,
) -> str:
    """Writes a candidate of a network and its records, or why it cannot be made; returns the headline."""
    from edgekd.data.balance import balanced_rows
    from edgekd.data.modalities.base import fed_rows, shipped_contract
    from edgekd.graph.device_form import DeviceForm
    from edgekd.stages.files import load_record, load_split, save_record

    contract = load_record(ModelContract, inputs["contract"])
    train = load_split(inputs["train"])
    rows = balanced_rows(train.labels, scheme.samples_wanted, context.seed)
    feeds = fed_rows(contract, train.only(rows).samples)
    form = DeviceForm(contract, shipped_contract(contract, export))
    path = context.output("model")

    def made() -> Made:
        if trained_in_8_bits(scheme):
            return _as_trained(scheme, inputs, feeds, path, form), None
        layers = load_record(ExportedRecord, inputs["exported"]).layers if scheme.repairable else ()
        judge = None
        if max_accuracy_drop is not None:
            judge = judge_of(contract, inputs["validation"], scheme, max_accuracy_drop)
        return made_of_fp32(scheme, inputs["fp32"], feeds, path, layers, judge, form)

    with context.progress.task(f"quantize {candidate}", 1) as advance:
        record, repair = made_or_refused(candidate, network, scheme, path, made)
        advance()
    save_record(context.output("candidate"), record)
    if repair is not None:
        save_record(context.output("repair"), repair)
    return told_of(record, repair)


def trained_in_8_bits(scheme: Scheme) -> bool:
    """Whether another stage makes its file (`finetune`)."""
    return isinstance(scheme, StaticInt8) and scheme.finetune is not None


def _as_trained(scheme: Scheme, inputs: Mapping[str, Path], feeds: FedRows, path: Path, form: DeviceForm) -> MadeFile:
    """
    Raises:
        StageError: it could not be trained.
    """
    from edgekd.graph.quantization.quantize import made_file
    from edgekd.stages.files import load_record

    record = load_record(FinetunedRecord, inputs["finetuned"])
    if record.refused:
        raise StageError(record.refused)
    return made_file(scheme, form.apply(inputs["trained"].read_bytes()), feeds, path)


def judge_of(contract: ModelContract, validation: Path, scheme: Scheme, max_accuracy_drop: float) -> Judge:
    """What files of the scheme are judged by."""
    from edgekd.data.modalities.base import fed_rows
    from edgekd.graph.quantization.repair import Judge
    from edgekd.stages.files import load_split

    split = load_split(validation)
    return Judge(fed_rows(contract, split.samples), split.labels, max_accuracy_drop, scheme.session)
