"""optimise: what the target's runtime makes of the chosen file: the operators that a build of it must have, and on
request the file in the runtime's own format, which answers as what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.errors import StageError
from edgekd.pipeline.stage import Context
from edgekd.records.base import file_digest
from edgekd.records.contract import ModelContract
from edgekd.records.optimised import OptimisedRecord, OrtFile
from edgekd.records.screening import ChoiceRecord
from edgekd.stages.target_stage import TargetStage, fed, subject

if TYPE_CHECKING:
    from edgekd.harness.subject import Subject

TOLERANCE = 1e-5  # of the logits' range; the same operators, in another file, differ by nothing


@dataclass(frozen=True)
class OptimiseStage(TargetStage):
    name = "optimise"
    inputs = ("model", "choice", "contract", "golden")
    outputs = {"optimised": "optimised.json", "operators": "required_operators.config", "ort": "model.ort"}
    records = {"optimised": OptimisedRecord}
    optional = frozenset({"operators", "ort"})
    libraries = ("onnx", "onnxruntime", "numpy", "flatbuffers")

    def identity(self) -> dict[str, JsonValue]:
        return {**super().identity(), "ort": self.target.ort}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record, save_record
        from edgekd.stages.targets import device_of, machine_of

        choice = load_record(ChoiceRecord, inputs["choice"])
        chosen = subject(inputs["model"], choice.session)
        found: dict[str, tuple[str, ...]] = {}
        ort, refused = None, ""
        folder = context.fresh_folder("optimised")
        try:
            found, optimised = self._optimised(context, folder, choice.chosen, chosen)
            if self.target.ort:
                ort = self._ort(context, inputs, choice.chosen, optimised)
        except StageError as error:
            if self.target.ort:
                raise
            refused = str(error)
            context.warn(f"{self.target.name}: what the runtime makes of {choice.chosen} cannot be said: {refused}")
        runtime = str(machine_of(device_of(self.target))["onnxruntime"])
        record = OptimisedRecord(
            target=self.target.name, onnxruntime=runtime, operators=found, ort=ort, refused=refused
        )
        save_record(context.output("optimised"), record)
        if refused:
            return f"not known: {refused}"
        told = f"{sum(map(len, found.values()))} kinds of operators"
        return told if ort is None else f"{told} · {ort.size_bytes:,} bytes in the runtime's own format"

    def _optimised(
        self, context: Context, folder: Path, name: str, shipped: Subject
    ) -> tuple[dict[str, tuple[str, ...]], Subject]:
        """The operators that run, and the ONNX file of them where it is wanted; writes the configuration of a build
        that has them."""
        from edgekd.graph.ort_format import operators_of, required_operators
        from edgekd.harness.optimising import Wanted, levels_up_to, optimise
        from edgekd.harness.subject import Subject
        from edgekd.stages.targets import device_of

        levels = levels_up_to(self.runtime.optimisation)
        steps = {folder / f"{level}.ort": Wanted(name, level, "ORT") for level in levels}
        file = folder / "optimised.onnx"
        wanted = {**steps, file: Wanted(name, self.runtime.optimisation, "ONNX")} if self.target.ort else steps
        optimise(device_of(self.target), self.runtime, {name: shipped}, wanted)
        *on_the_way, last = steps
        # a build for the .ort file only runs it
        text = required_operators(last, () if self.target.ort else on_the_way)
        context.output("operators").write_text(text, encoding="utf-8")
        found = {
            f"{domain};{opset}": tuple(sorted(names))
            for domain, versions in sorted(operators_of([last])[0].items())
            for opset, names in sorted(versions.items())
        }
        return found, Subject(file, session=shipped.session, raw=shipped.raw)

    def _ort(self, context: Context, inputs: Mapping[str, Path], name: str, optimised: Subject) -> OrtFile:
        """Writes the model in the runtime's own format.

        Raises:
            StageError: it answers otherwise than the ONNX file.
        """
        import numpy as np
        import onnx

        from edgekd.graph.order import order_by_use
        from edgekd.graph.ort_format import BLOCKED_LAYOUT, canonical, readable
        from edgekd.graph.slim import slim
        from edgekd.harness.answers import predict
        from edgekd.harness.optimising import Wanted, optimise
        from edgekd.harness.subject import Subject
        from edgekd.records.arrays import load_arrays
        from edgekd.stages.files import load_record
        from edgekd.stages.targets import device_of

        device, path = device_of(self.target), context.output("ort")
        # what the runtime makes carries its notes and names, and an order of nodes that is another one each time
        with readable():
            model = onnx.load(optimised.path)
            order_by_use(model)
            slim(model)
        optimised.path.write_bytes(model.SerializeToString(deterministic=True))
        saved = optimised.path.with_name("saved.ort")
        optimise(device, self.runtime, {name: optimised}, {saved: Wanted(name, "none", "ORT")})
        path.write_bytes(canonical(saved.read_bytes()))
        golden = load_arrays(inputs["golden"])
        given = fed(load_record(ModelContract, inputs["contract"]), golden["samples"])
        title, ours = f"{name}.ort", Subject(path, session=optimised.session, raw=optimised.raw)
        answers = predict(device, self.runtime, {title: ours}, given.feeds, context.progress, raw=given.raw)[title]
        expected = golden["logits"].astype(np.float32)
        difference = float(np.abs(answers - expected).max())
        if not difference <= TOLERANCE * float(np.ptp(expected)):
            raise StageError(
                f"{name} in ONNX Runtime's own format answers otherwise on {self.target.name} than the ONNX file that "
                f"was measured there: by up to {difference:.3g}",
                hint="leave out `ort` in the target file, and tell the runtime's developers",
            )
        blocked = any(each.domain == BLOCKED_LAYOUT for each in model.graph.node)
        if blocked:
            context.warn(
                f"{self.target.name}: the .ort file is laid out for this processor's blocks of channels. It is wrong "
                "on processors with others, and minimal builds for x86 were reported to assume others "
                "(onnxruntime issue 26174). `runtime.optimisation: extended` measures and ships one for all"
            )
        return OrtFile(
            sha256=file_digest(path), size_bytes=path.stat().st_size, largest_difference=difference, blocked=blocked
        )
