"""screen: every candidate on the target, answers on validation samples and a short latency run of all, interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.graph.quantization.base import Scheme
from edgekd.pipeline.stage import Context
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.records.screening import ScreeningRecord
from edgekd.stages.target_stage import TargetStage
from edgekd.stages.trials import Trials


@dataclass(frozen=True)
class ScreenStage(TargetStage):
    """The candidates' files arrive at `model@NAME`, their records at `candidate@NAME`. `allowed`: those of them that
    may ship; one that loses more than `max_accuracy_drop` is not timed for long."""

    candidates: Mapping[str, Scheme]
    allowed: tuple[str, ...]
    max_accuracy_drop: float
    export: ExportOptions

    name = "screen"
    outputs = {"screening": "screening.json"}
    records = {"screening": ScreeningRecord}
    libraries = ("onnxruntime", "onnx", "numpy", "scipy")
    seeded = True
    alone = True

    @property
    def inputs(self) -> tuple[str, ...]:
        ports = (port for name in self.candidates for port in (f"model@{name}", f"candidate@{name}"))
        return ("contract", "validation", *ports)

    def identity(self) -> dict[str, JsonValue]:
        return {
            **super().identity(),
            "measure": identity(self.target.measure, without=frozenset({"seconds"})),
            "candidates": {name: scheme.identity() for name, scheme in self.candidates.items()},
            "allowed": list[JsonValue](sorted(self.allowed)),
            "max_accuracy_drop": self.max_accuracy_drop,
            "oldest_runtime": self.target.oldest_runtime,
            "input": self.export.input,
        }

    def environment(self) -> dict[str, JsonValue]:
        from edgekd.stages.targets import device_of

        return {**super().environment(), "counts": device_of(self.target).counts}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import fed_at_once, feeds_for, shipped_contract, usual_lengths
        from edgekd.stages.files import load_record, load_split, save_record

        contract, validation = load_record(ModelContract, inputs["contract"]), load_split(inputs["validation"])
        # in any order but that of the classes: the time may be up after a few
        rows = np.random.default_rng(context.seed).permutation(len(validation))[: fed_at_once(contract)]
        trials = Trials(
            self.target,
            self.candidates,
            self.allowed,
            self.max_accuracy_drop,
            {name: inputs[f"model@{name}"] for name in self.candidates if f"model@{name}" in inputs},
            {name: load_record(CandidateRecord, inputs[f"candidate@{name}"]) for name in self.candidates},
            {},
        )
        record = trials.screened(
            feeds_for(shipped_contract(contract, self.export), validation.samples[rows]),
            validation.labels[rows],
            len(validation),
            context.seed + 1,  # what is measured afterwards shall not repeat the orders that led to the choice
            context.progress,
            usual_lengths(contract, validation.samples),
        )
        save_record(context.output("screening"), record)
        most = max(each.samples for each in record.candidates)
        return f"{len(record.candidates)} candidates on {most:,} of {record.validation_samples:,} validation samples"
