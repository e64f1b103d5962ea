"""finetune: a network trained further in the arithmetic of an 8-bit candidate, and the file of that candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from edgekd.config.export import ExportOptions
from edgekd.errors import StageError, placed
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.records.exported import ExportedRecord
from edgekd.records.finetuned import FinetunedRecord
from edgekd.records.screening import ChoiceRecord
from edgekd.records.selection import SelectionRecord
from edgekd.stages.modality import feeding_identity, training_identity
from edgekd.stages.network_graph import default_losses
from edgekd.stages.networks import TrainedNetwork
from edgekd.stages.quantize import judge_of
from edgekd.stages.teaching import answers_identity, teaching
from edgekd.stages.train import TrainStage
from edgekd.training.execution import Execution
from edgekd.training.losses.base import Loss
from edgekd.training.temperatures.base import with_temperature
from edgekd.training.temperatures.fixed import Fixed

if TYPE_CHECKING:
    from edgekd.config.finetune import FinetuneOptions
    from edgekd.config.training import TrainingOptions

MOST_GAP = 0.0005  # of accuracy, between what was simulated and what the file reaches
SOFTENED = 4.0  # the temperature of soft targets where the network had none


@dataclass(frozen=True)
class FinetuneStage(Stage):
    """Makes the candidate there is, or of several that one that was chosen, if it is among them. training: how the
    network was trained; limits: what each candidate may lose before it is repaired, None where it never is."""

    candidates: Mapping[str, StaticInt8]
    limits: Mapping[str, float | None]
    training: TrainStage
    export: ExportOptions
    by_choice: bool = False

    name = "finetune"
    outputs = {"model": "model.onnx", "finetuned": "finetuned.json"}
    records = {"finetuned": FinetunedRecord}
    optional = frozenset({"model", "finetuned"})
    seeded = True

    @property
    def libraries(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.training.libraries, "onnx", "onnxruntime")))

    @property
    def inputs(self) -> tuple[str, ...]:
        choice = ("choice",) if self.by_choice else ()
        return (*self.training.inputs, "calibration", "fp32", "exported", *choice)

    def identity(self) -> JsonValue:
        return {
            "training": self.training.identity(),
            "candidates": {name: scheme.identity() for name, scheme in self.candidates.items()},
            "limits": dict(self.limits),
            "input": self.export.input,
            "modality": {
                "feeding": feeding_identity(self.training.modality),
                "training": training_identity(self.training.modality),
            },
        }

    def environment(self) -> dict[str, JsonValue]:
        (first, *_) = self.candidates.values()
        return dict(asdict(self._execution(options_of(self.training.network, _finetune(first)))))

    def _execution(self, options: TrainingOptions) -> Execution:
        return replace(self.training.execution(options), processes=1)  # others wait for the next training

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record, save_record

        name = next(iter(self.candidates))
        if self.by_choice:
            name = load_record(ChoiceRecord, inputs["choice"]).chosen
            if name not in self.candidates:
                return f"nothing to do: {name} is not trained in 8 bits"
        network = self.training.network
        if self.training.chosen is not None:
            network = self.training.chosen(load_record(SelectionRecord, inputs["selection"]).best.choice)
        try:
            with placed("quantize.candidates"):
                record = self._trained(context, inputs, name, network)
        except StageError as error:
            record = FinetunedRecord(candidate=name, network=network.name, refused=str(error))
        save_record(context.output("finetuned"), record)
        if not record.refused and abs(record.gap) > MOST_GAP:
            found, expected = (f"{each / record.samples:.2%}" for each in (record.file, record.after))
            context.warn(f"{name}: the runtime here is right on {found} of validation, {expected} was simulated")
        return record.told

    def _trained(
        self, context: Context, inputs: Mapping[str, Path], name: str, network: TrainedNetwork
    ) -> FinetunedRecord:
        from edgekd.data.balance import balanced_rows
        from edgekd.data.modalities.base import fed_rows, shipped_contract
        from edgekd.graph.device_form import DeviceForm
        from edgekd.graph.quantization.repair import to_be_trained
        from edgekd.graph.quantization.simulation import arithmetic_of, with_own_biases
        from edgekd.graph.quiet import quiet
        from edgekd.graph.runtime import run_onnx
        from edgekd.models.eight_bits.network import EightBitNetwork
        from edgekd.stages.files import load_record, load_split
        from edgekd.training.evaluate import count_right
        from edgekd.training.loop import TrainingData, train
        from edgekd.training.recorded import Recordings
        from edgekd.training.replicas import Replicas
        from edgekd.training.workers import ALONE

        scheme, contract = self.candidates[name], load_record(ModelContract, inputs["contract"])
        known, shown = load_split(inputs["calibration"]), load_split(inputs["train"])
        validation = load_split(inputs["validation"])
        options, losses = options_of(network, _finetune(scheme)), losses_of(network)
        calibration = balanced_rows(known.labels, scheme.samples_wanted, context.seed)
        ranges = DeviceForm(contract, shipped_contract(contract, self.export)).ranges
        limit = self.limits[name]
        judge = None if limit is None else judge_of(contract, inputs["validation"], scheme, limit)
        with context.progress.task(f"quantize {name}", 1) as advance, quiet():
            start, steps = to_be_trained(
                scheme,
                inputs["fp32"],
                fed_rows(contract, known.only(calibration).samples),
                ranges,
                load_record(ExportedRecord, inputs["exported"]).layers,
                judge,
            )
            ingredients = with_own_biases(start)
            module = EightBitNetwork(arithmetic_of(ingredients), fixed=ranges)
            advance()
        rows = self.training.rows(shown.labels, contract.classes)
        data = TrainingData(shown.only(rows), validation, contract)
        before = count_right(Replicas(module, ALONE), validation, contract)
        sources = [each for each in self.training.sources if any(loss.hears(each.name) for loss in losses)]
        result = train(
            module,
            losses,
            data,
            options,
            seed=context.seed,
            execution=self._execution(options),
            work=context.work,
            progress=context.progress,
            section=network.section,
            name=f"{network.name} as {name}",
            teachers={each.name: teaching(each, contract, inputs) for each in sources},
            recordings=Recordings(
                context.cache / "answers",
                answers_identity(sources, inputs, rows, self.training.modality, self.training.libraries),
            ),
        )
        path = context.output("model")
        with quiet():
            path.write_bytes(ingredients.learned(module.constants(), module.ranges()).file())
        answers = run_onnx(path, fed_rows(contract, validation.samples), scheme.session).argmax(axis=1)
        return FinetunedRecord(
            candidate=name,
            network=network.name,
            steps=steps,
            losses=tuple(each.use for each in losses),
            learned_from=tuple(each.name for each in sources),
            before=before,
            after=result.history.last.validation_correct,
            file=int((answers == validation.labels).sum()),
            samples=len(validation),
            history=result.history,
        )


def options_of(network: TrainedNetwork, finetune: FinetuneOptions) -> TrainingOptions:
    """How a network is trained in 8 bits: on the samples as it was shown them before, with small steps.

    Weights that AdamW does not decay: what a weight is rounded to follows from its size. In float32: what is rounded
    there would not be what the file rounds otherwise.
    """
    from edgekd.training.optimizers.adamw import AdamW

    assert network.options is not None  # the student and its like are trained
    return network.options.model_copy(
        update={
            "epochs": finetune.epochs,
            "learning_rate": finetune.learning_rate,
            "optimizer": AdamW(use="adamw"),
            "weight_decay": 0.0,
            "averaging": 0.0,
            "precision": "float32",
        }
    )


def losses_of(network: TrainedNetwork) -> tuple[Loss, ...]:
    """Those of its losses that read answers alone, of teachers: the 8-bit network has no layer by the name of a module,
    and peers are no more. Where teachers would have no say then, it learns their soft targets."""
    kept = tuple(
        loss
        for loss in network.losses
        if not (loss.taps.student or loss.taps.teacher)
        and (not loss.taught or any(loss.hears(name) for name in network.sources))
    )
    if network.sources and not any(loss.taught for loss in kept):
        taught = [loss for loss in default_losses(taught=True) if loss.taught]
        return (*kept, *with_temperature(taught, Fixed(use="fixed", value=SOFTENED)))
    return kept or tuple(default_losses(taught=False))


def _finetune(scheme: StaticInt8) -> FinetuneOptions:
    return cast("FinetuneOptions", scheme.finetune)
