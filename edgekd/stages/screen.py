"""screen: every candidate on the target, answers on validation samples and a short latency run of all, interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.pipeline.stage import Context
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.records.screening import Screened, ScreeningRecord
from edgekd.stages.target_stage import TargetStage


@dataclass(frozen=True)
class ScreenStage(TargetStage):
    """The candidates' files arrive at `model@NAME`, their records at `candidate@NAME`."""

    candidates: tuple[str, ...]
    export: ExportOptions

    name = "screen"
    outputs = {"screening": "screening.json"}
    records = {"screening": ScreeningRecord}
    libraries = ("onnxruntime", "numpy", "scipy")
    seeded = True
    alone = True

    @property
    def inputs(self) -> tuple[str, ...]:
        ports = (port for name in self.candidates for port in (f"model@{name}", f"candidate@{name}"))
        return ("contract", "validation", *ports)

    def identity(self) -> dict[str, JsonValue]:
        return {
            **super().identity(),
            "input": self.export.input,
            "measure": identity(self.target.measure, without=frozenset({"seconds"})),
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import fed_at_once, feeds_for, shipped_contract
        from edgekd.harness.screening import screen
        from edgekd.harness.subject import Subject
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.stages.targets import device_of

        contract, validation = load_record(ModelContract, inputs["contract"]), load_split(inputs["validation"])
        # in any order but that of the classes: the time may be up after a few
        rows = np.random.default_rng(context.seed).permutation(len(validation))[: fed_at_once(contract)]
        records = {name: load_record(CandidateRecord, inputs[f"candidate@{name}"]) for name in self.candidates}
        record = screen(
            device_of(self.target),
            self.runtime,
            self.target.measure,
            self.target.name,
            {
                name: Subject(inputs[f"model@{name}"], session=each.file.session)
                for name, each in records.items()
                if each.file is not None
            },
            feeds_for(shipped_contract(contract, self.export), validation.samples[rows]),
            validation.labels[rows],
            context.seed + 1,  # what is measured afterwards shall not repeat the orders that led to the choice
            context.progress,
        )
        missing = tuple(_not_made(each) for each in records.values() if each.file is None)
        record = record.model_copy(
            update={"candidates": (*record.candidates, *missing), "validation_samples": len(validation)}
        )
        save_record(context.output("screening"), record)
        most = max(each.samples for each in record.candidates)
        return f"{len(record.candidates)} candidates on {most:,} of {record.validation_samples:,} validation samples"


def _not_made(record: CandidateRecord) -> Screened:
    """A candidate that there is no file of."""
    return Screened(
        name=record.name,
        size_bytes=0,
        session={},
        samples=0,
        accuracy=None,
        against_fp32=None,
        p50_s=None,
        instructions=None,
        refused=f"cannot be made: {record.refused}",
    )
