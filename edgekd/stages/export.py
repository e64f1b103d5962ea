"""export: a network as an ONNX file that computes what it computed where it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.records.exported import ExportedRecord
from edgekd.stages.modality import feeding_identity
from edgekd.stages.networks import GivenNetwork, Network

PARITY_SAMPLES = 512  # of the validation split, on which both runtimes must agree


@dataclass(frozen=True)
class ExportStage(Stage):
    options: ExportOptions
    network: Network
    modality: str

    name = "export"
    outputs = {"model": "model.onnx", "exported": "exported.json"}
    records = {"exported": ExportedRecord}
    libraries = ("torch", "onnx", "onnxscript", "onnxruntime")

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("contract",) if isinstance(self.network, GivenNetwork) else ("contract", "validation", "weights")

    def identity(self) -> JsonValue:
        if isinstance(self.network, GivenNetwork):
            return {"given": self.network.identity()}
        return {
            **identity(self.options, without=frozenset({"input", "output"})),  # of what is made of it
            "model": self.network.model.identity(),
            "modality": feeding_identity(self.modality),
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.graph.adopt import adopt
        from edgekd.graph.inspect import describe
        from edgekd.stages.files import load_record, save_record

        contract, path = load_record(ModelContract, inputs["contract"]), context.output("model")
        if isinstance(self.network, GivenNetwork):
            file = self.network.teacher.model_file
            assert file is not None, "only a teacher that is a file is exported"
            self.network.open(contract)  # refuses one that does not fit
            adopt(file, contract, path, self.network.teacher.normalisation)
            record = ExportedRecord(facts=describe(path), parity=None)
            told = "given, not trained here"
        else:
            record = self._exported(context, inputs, contract, path)
            assert record.parity is not None
            told = f"largest difference to torch {record.parity.max_abs_difference:.1e}"
        save_record(context.output("exported"), record)
        return f"{record.facts.size_bytes:,} bytes, {told}"

    def _exported(
        self, context: Context, inputs: Mapping[str, Path], contract: ModelContract, path: Path
    ) -> ExportedRecord:
        from edgekd.data.modalities.base import fed_at_once, feeds_for
        from edgekd.graph.export import export_onnx
        from edgekd.graph.inspect import describe
        from edgekd.graph.parity import check_parity
        from edgekd.graph.runtime import run_onnx
        from edgekd.stages.files import load_split
        from edgekd.training.evaluate import predict_logits
        from edgekd.training.network import trained_network

        assert not isinstance(self.network, GivenNetwork)
        rows = slice(min(PARITY_SAMPLES, fed_at_once(contract)))
        feeds = feeds_for(contract, load_split(inputs["validation"]).samples[rows])
        module = trained_network(self.network.model, contract, inputs["weights"])
        with context.progress.task("export", 1) as advance:
            layers = export_onnx(module, contract, path, self.options)
            parity = check_parity(predict_logits(module, feeds), run_onnx(path, feeds))
            advance()
        return ExportedRecord(facts=describe(path), parity=parity, layers=layers)
