"""quantize: one candidate, made of the student's fp32 file, calibrated on training samples only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.networks import STUDENT
from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.stages.modality import feeding_identity


@dataclass(frozen=True)
class QuantizeStage(Stage):
    """`candidate`: its name."""

    candidate: str
    scheme: Scheme
    modality: str

    name = "quantize"
    inputs = ("contract", "train", "fp32")
    outputs = {"model": "model.onnx", "candidate": "candidate.json"}
    records = {"candidate": CandidateRecord}
    optional = frozenset({"model"})
    libraries = ("onnx", "onnxruntime", "numpy")
    seeded = True  # which samples it is calibrated on

    def identity(self) -> JsonValue:
        return {
            "candidate": self.candidate,
            "scheme": self.scheme.identity(),
            "modality": feeding_identity(self.modality),
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        return make(context, inputs, self.candidate, STUDENT, self.scheme)


def make(context: Context, inputs: Mapping[str, Path], candidate: str, network: str, scheme: Scheme) -> str:
    """Writes a candidate of a network and its record, or why it cannot be made; returns the headline."""
    from edgekd.data.balance import balanced_rows
    from edgekd.data.modalities.base import fed_in_parts
    from edgekd.graph.quantization.quantize import make_candidate
    from edgekd.stages.files import load_record, load_split, save_record

    contract = load_record(ModelContract, inputs["contract"])
    train = load_split(inputs["train"])
    rows = balanced_rows(train.labels, scheme.samples_wanted, context.seed)
    feeds = fed_in_parts(contract, train.only(rows).samples)
    path = context.output("model")
    made, refused = None, ""
    with context.progress.task(f"quantize {candidate}", 1) as advance:
        try:
            made = make_candidate(scheme, inputs["fp32"], feeds, path)
        except StageError as error:
            path.unlink(missing_ok=True)
            refused = str(error)
        advance()
    record = CandidateRecord(name=candidate, network=network, scheme=scheme.use, file=made, refused=refused)
    save_record(context.output("candidate"), record)
    if made is None:
        context.warn(f"{candidate} cannot be made: {refused}")
        return f"cannot be made: {refused}"
    return f"{made.facts.size_bytes:,} bytes{_remarks(record)}"


def _remarks(record: CandidateRecord) -> str:
    """What its user should know of the file: what it computes in, what an 8-bit one leaves in float, and cautions."""
    made = record.file
    if made is None:
        return ""
    told = [made.execution.arithmetic] if made.execution.arithmetic else []
    if not made.execution.in_float and made.execution.float_operators:
        left = ", ".join(f"{count} {name}" for name, count in made.execution.float_operators.items())
        told.append(f"still in float: {left}")
    if made.cautions:
        told.append(f"cautions: {', '.join(each.name for each in made.cautions)}")
    return "".join(f" · {each}" for each in told)
