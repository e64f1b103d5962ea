"""screen: every candidate on the target, answers on validation samples and a short latency run of all, interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.pipeline.stage import Context
from edgekd.records.candidate import CandidateRecord, Caution
from edgekd.records.contract import ModelContract
from edgekd.records.model import Execution
from edgekd.records.screening import ScreeningRecord
from edgekd.stages.target_stage import TargetStage

if TYPE_CHECKING:
    from edgekd.harness.screening import Trial

X86 = ("x86_64", "amd64", "i686")
VNNI = frozenset({"avx512_vnni", "avx_vnni"})


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

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import fed_at_once, feeds_for, shipped_contract
        from edgekd.harness.screening import not_screened, screen
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.stages.targets import device_of

        contract, validation = load_record(ModelContract, inputs["contract"]), load_split(inputs["validation"])
        # in any order but that of the classes: the time may be up after a few
        rows = np.random.default_rng(context.seed).permutation(len(validation))[: fed_at_once(contract)]
        records = {name: load_record(CandidateRecord, inputs[f"candidate@{name}"]) for name in self.candidates}
        made = {name: each for name, each in records.items() if each.file is not None}
        record = screen(
            device_of(self.target),
            self.runtime,
            self.target.measure,
            self.target.name,
            {name: self._trial(name, inputs[f"model@{name}"], made) for name in made},
            feeds_for(shipped_contract(contract, self.export), validation.samples[rows]),
            validation.labels[rows],
            self.max_accuracy_drop,
            context.seed + 1,  # what is measured afterwards shall not repeat the orders that led to the choice
            context.progress,
        )
        missing = (
            not_screened(each.name, 0, {}, f"cannot be made: {each.refused}")
            for each in records.values()
            if each.file is None
        )
        record = record.model_copy(
            update={
                "candidates": (*record.candidates, *missing),
                "validation_samples": len(validation),
                "cautions": self._cautions(records),
            }
        )
        save_record(context.output("screening"), record)
        most = max(each.samples for each in record.candidates)
        return f"{len(record.candidates)} candidates on {most:,} of {record.validation_samples:,} validation samples"

    def _cautions(self, records: Mapping[str, CandidateRecord]) -> dict[str, tuple[Caution, ...]]:
        """What the oldest runtime that the target declares cannot load."""
        from edgekd.graph.quantization.portability import needs_newer

        oldest = self.target.oldest_runtime
        if oldest is None:
            return {}
        found = {name: needs_newer(each.file.facts, oldest) for name, each in records.items() if each.file is not None}
        return {name: each for name, each in found.items() if each}

    def _trial(self, name: str, path: Path, made: Mapping[str, CandidateRecord]) -> Trial:
        from edgekd.graph.execution import executed
        from edgekd.harness.screening import Trial
        from edgekd.harness.subject import Subject

        scheme, record = self.candidates[name], made[name]
        assert record.file is not None

        def checked(graph: Path) -> Execution:
            runs = executed(graph)
            try:
                scheme.check(runs)
            except StageError as error:
                raise StageError(f"{name} on {self.target.name}: {error}") from error
            return runs

        def needless(known: Mapping[str, Execution]) -> str:
            return self._needless(scheme, made, known)

        return Trial(Subject(path, session=record.file.session), checked, name in self.allowed, needless)

    def _needless(self, scheme: Scheme, made: Mapping[str, CandidateRecord], known: Mapping[str, Execution]) -> str:
        """Why it would do there what another candidate does, which is as good or better by design; empty if it may
        not."""
        if scheme.layout == "nchw":
            other = self._named(scheme.model_copy(update={"layout": "auto"}))
            if other in known and not known[other].rearranges:
                return f"runs as {other} does: the runtime there arranges nothing in blocks of channels"
        if isinstance(scheme, StaticInt8) and scheme.reduce_range:
            other = self._named(scheme.model_copy(update={"reduce_range": False}))
            if other in made and not self._sums_overflow():
                return f"needs only 7 of the 8 bits that {other} uses: this processor's sums do not overflow"
        return ""

    def _named(self, scheme: Scheme) -> str:
        """The name of the candidate that is made just so, empty where there is none."""
        return next((name for name, each in self.candidates.items() if each == scheme), "")

    def _sums_overflow(self) -> bool:
        """Whether the target adds pairs of 8-bit products in 16 bits, as x86 without VNNI does."""
        from edgekd.stages.targets import device_of, machine_of

        facts = machine_of(device_of(self.target))
        isa = facts["isa"]
        assert isinstance(isa, list)
        return str(facts["machine"]).lower() in X86 and not VNNI.intersection(map(str, isa))
