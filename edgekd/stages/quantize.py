"""quantize: one candidate, made of a network's fp32 file, calibrated on training samples only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.errors import StageError, placed
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.records.exported import ExportedRecord
from edgekd.records.repair import RepairRecord
from edgekd.stages.modality import feeding_identity

if TYPE_CHECKING:
    from edgekd.graph.quantization.repair import Judge


@dataclass(frozen=True)
class QuantizeStage(Stage):
    """`candidate`: its name, `network`: what it is made of. max_accuracy_drop: what an 8-bit file may lose before it is
    repaired; None where none is."""

    candidate: str
    network: str
    scheme: Scheme
    modality: str
    max_accuracy_drop: float | None = None

    name = "quantize"
    outputs = {"model": "model.onnx", "candidate": "candidate.json", "repair": "repair.json"}
    records = {"candidate": CandidateRecord, "repair": RepairRecord}
    optional = frozenset({"model", "repair"})
    libraries = ("onnx", "onnxruntime", "numpy")

    @property
    def repairs(self) -> bool:
        return self.scheme.repairable and self.max_accuracy_drop is not None

    @property
    def inputs(self) -> tuple[str, ...]:
        named = ("exported",) if self.scheme.repairable else ()
        judged = ("validation",) if self.repairs else ()
        return ("contract", "train", "fp32", *named, *judged)

    def identity(self) -> JsonValue:
        return {
            "candidate": self.candidate,
            "network": self.network,
            "scheme": self.scheme.identity(),
            "modality": feeding_identity(self.modality),
            **({"repaired_above": self.max_accuracy_drop} if self.repairs else {}),
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import feeds_for
        from edgekd.graph.quantization.calibrate import spread
        from edgekd.graph.quantization.quantize import make_candidate, make_repaired
        from edgekd.graph.quantization.schemes import StaticInt8
        from edgekd.stages.files import load_record, load_split, save_record

        contract = load_record(ModelContract, inputs["contract"])
        train = load_split(inputs["train"])
        samples = train.samples[spread(np.arange(len(train)), self.scheme.samples_wanted)]
        names = load_record(ExportedRecord, inputs["exported"]).layers if self.scheme.repairable else ()
        judge = self._judge(contract, inputs["validation"]) if self.repairs else None
        path = context.output("model")
        made, repair, refused = None, None, ""
        with context.progress.task(f"quantize {self.candidate}", 1) as advance:
            try:
                with placed("quantize.candidates"):
                    feeds = feeds_for(contract, samples)
                    if judge is None:
                        made = make_candidate(self.scheme, inputs["fp32"], feeds, path, names)
                    else:
                        assert isinstance(self.scheme, StaticInt8)
                        made, repair = make_repaired(self.scheme, inputs["fp32"], feeds, path, names, judge)
                        save_record(context.output("repair"), repair)
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
        return (
            f"{made.facts.size_bytes:,} bytes{_remarks(record)}{f', {repair.told}' if repair and repair.told else ''}"
        )

    def _judge(self, contract: ModelContract, validation: Path) -> Judge:
        import numpy as np

        from edgekd.data.modalities.base import fed_at_once, feeds_for
        from edgekd.graph.quantization.calibrate import spread
        from edgekd.graph.quantization.repair import Judge
        from edgekd.stages.files import load_split

        assert self.max_accuracy_drop is not None
        split = load_split(validation)
        rows = spread(np.arange(len(split)), fed_at_once(contract))
        return Judge(feeds_for(contract, split.samples[rows]), split.labels[rows], self.max_accuracy_drop)


def _remarks(record: CandidateRecord) -> str:
    """What its user should know of an 8-bit file: what is left in float, and where its sums overflow."""
    made = record.file
    if made is None or made.execution.in_float:
        return ""
    left = ", ".join(f"{count} {name}" for name, count in made.execution.float_operators.items())
    told = f", still in float: {left}" if left else ""
    return f"{told}{', overflows on x86 without VNNI' if made.saturates_without_vnni else ''}"
