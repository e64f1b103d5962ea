"""layout: whether the student's widths suit the blocks of channels that the target's runtime computes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.pipeline.stage import Context
from edgekd.records.layout import LayoutRecord
from edgekd.stages.target_stage import TargetStage


@dataclass(frozen=True)
class LayoutStage(TargetStage):
    name = "layout"
    inputs = ("fp32",)
    outputs = {"layout": "layout.json"}
    records = {"layout": LayoutRecord}
    libraries = ("onnx", "onnxruntime")

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.graph.layout import layout_of, with_multiples
        from edgekd.harness.optimising import Wanted, optimise
        from edgekd.harness.subject import Subject
        from edgekd.stages.files import save_record
        from edgekd.stages.targets import device_of

        folder, fp32 = context.fresh_folder("layout"), inputs["fp32"]
        filled = with_multiples(fp32, folder)
        files = {"fp32": fp32, **{str(multiple): path for multiple, path in filled.items()}}
        made = {name: folder / f"made-of-{name}.onnx" for name in files}
        optimise(
            device_of(self.target),
            self.runtime,
            {name: Subject(path) for name, path in files.items()},
            {path: Wanted(name, self.runtime.optimisation, "ONNX") for name, path in made.items()},
        )
        record = layout_of(fp32, made["fp32"], {each: made[str(each)] for each in filled})
        save_record(context.output("layout"), record)
        if not record.blocks:
            return "no blocks of channels there"
        told = f"changes of layout: {record.reorders}, convolutions outside of blocks: {record.outside}"
        if record.multiple is None:
            return told
        return f"{told}; with multiples of {record.multiple}: {record.least_reorders} and {record.least_outside}"
