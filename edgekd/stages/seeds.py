"""seeds: the files of further trainings on the target, to see how sure accuracy and gain are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.networks import CONTROL, STUDENT
from edgekd.pipeline.stage import Context
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.screening import FP32, ChoiceRecord
from edgekd.records.seeds import SeedsRecord
from edgekd.stages.target_stage import TargetStage, fed_in_parts, subject

if TYPE_CHECKING:
    from edgekd.harness.subject import Subject


@dataclass(frozen=True)
class SeedsStage(TargetStage):
    """What the first training's files reached arrives at `evaluation`. Of the training with the N-th seed (from 2) the
    fp32 file of the student, the control or a variant arrives at `NETWORK.fp32@N`; what was made of it as the chosen
    file was, for student and control, at `NETWORK@N`."""

    seeds: tuple[int, ...]
    beside: tuple[str, ...]

    name = "seeds"
    outputs = {"seeds": "seeds.json"}
    records = {"seeds": SeedsRecord}
    libraries = ("onnxruntime", "numpy", "scipy")

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("contract", "test", "choice", "evaluation", *(port for _, port in self._files("")))

    def identity(self) -> dict[str, JsonValue]:
        return {**super().identity(), "seeds": list[JsonValue](self.seeds)}

    def _files(self, chosen: str) -> Iterator[tuple[str, str]]:
        """The names of all files as reports call them, each with its port, once a further seed."""
        for number in range(2, len(self.seeds) + 1):
            for network in (STUDENT, *self.beside):
                before = "" if network == STUDENT else f"{network}."
                yield f"{before}{FP32}", f"{network}.{FP32}@{number}"
                if network in (STUDENT, CONTROL) and chosen != FP32:
                    yield f"{before}{chosen}", f"{network}@{number}"

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.harness.answers import predict
        from edgekd.harness.scoring import gain_over_seeds
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.stages.targets import device_of

        choice = load_record(ChoiceRecord, inputs["choice"])
        first = load_record(Evaluation, inputs["evaluation"])
        contract, test = load_record(ModelContract, inputs["contract"]), load_split(inputs["test"])
        further: dict[str, list[str]] = {}
        for name, port in self._files(choice.chosen):
            further.setdefault(name, []).append(port)
        complete = {
            name: further[name]
            for name in first.models
            if name in further and all(each in inputs for each in further[name])
        }
        subjects = {
            port: self._subject(inputs[port], name, choice) for name, ports in complete.items() for port in ports
        }
        right = dict.fromkeys(subjects, 0)
        start = 0
        for part in fed_in_parts(contract, test.samples):
            answers = predict(
                device_of(self.target), self.runtime, subjects, part.feeds, context.progress, raw=part.raw
            )
            for port, logits in answers.items():
                right[port] += int((logits.argmax(axis=1) == test.labels[start : start + len(logits)]).sum())
            start += len(logits)
        accuracies = {
            name: (first.models[name].accuracy.value, *(right[port] / len(test) for port in ports))
            for name, ports in complete.items()
        }
        record = SeedsRecord(
            target=self.target.name,
            shipped=choice.chosen,
            seeds=self.seeds,
            samples=len(test),
            accuracies=accuracies,
            gains={
                name: gain_over_seeds(reached, accuracies[untaught], step=1 / len(test))
                for name, reached in accuracies.items()
                if (untaught := f"{CONTROL}.{name.rpartition('.')[2]}") in accuracies and name != untaught
            },
        )
        if choice.chosen not in accuracies:
            context.warn(f"{choice.chosen} cannot be made with every seed, so how sure its accuracy is is not known")
        save_record(context.output("seeds"), record)
        return " · ".join(f"{name} {record.mean(name):.2%} ± {100 * record.std(name):.2f}" for name in accuracies)

    @staticmethod
    def _subject(path: Path, name: str, choice: ChoiceRecord) -> Subject:
        return subject(path) if name.rpartition(".")[2] == FP32 else subject(path, choice.session)
