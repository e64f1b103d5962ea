"""select: settings of the student's training, tried out on validation samples."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue, ValidationError

from edgekd.config.component import identity
from edgekd.config.select import Range, SelectSection
from edgekd.errors import StageError, UsageError
from edgekd.pipeline.fingerprint import preimage
from edgekd.pipeline.stage import Context, Stage
from edgekd.pipeline.store import write_atomically
from edgekd.records.base import digest, file_digest
from edgekd.records.network import NetworkRecord
from edgekd.records.selection import SelectionRecord, Trial
from edgekd.stages.train import TrainStage
from edgekd.training.execution import place_here

if TYPE_CHECKING:
    import optuna

Choice = Mapping[str, JsonValue]


@dataclass(frozen=True)
class SelectStage(Stage):
    """base: the student's training as the file has it; attempt: the same with a choice made."""

    section: SelectSection
    epochs: int
    base: TrainStage
    attempt: Callable[[Choice], TrainStage]

    name = "select"
    outputs = {"selection": "selection.json"}
    records = {"selection": SelectionRecord}
    seeded = True

    @property
    def libraries(self) -> tuple[str, ...]:
        return (*self.base.libraries, *(("optuna",) if self.section.combinations > self.section.trials else ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.base.inputs

    def identity(self) -> JsonValue:
        return {
            "section": identity(self.section),
            "student": self.base.identity(),
            "examples": [self.attempt({key: value}).identity() for key, _, value in self.section.examples()],
        }

    def environment(self) -> dict[str, JsonValue]:
        return self.base.environment()

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import save_record

        if place_here().size > 1:
            raise UsageError(
                "distill.select trains in one process",
                hint="run `--until select` without torchrun first; the choice is kept in the store",
            )
        count = int(min(self.section.trials, self.section.combinations))
        digests: dict[str, JsonValue] = {port: file_digest(path) for port, path in inputs.items()}
        trials: list[Trial] = []
        proposals = _proposals(self.section, context.seed)
        choice = next(proposals)
        while True:
            trial = self._tried(context, inputs, digests, choice)
            trials.append(trial)
            told = trial.failed or f"{trial.accuracy:.2%} of validation right"
            context.progress.say(f"select: trial {len(trials)}/{count}: {trial.words}: {told}")
            if len(trials) == count:
                break
            if self.section.minutes is not None and sum(each.seconds for each in trials) >= 60 * self.section.minutes:
                context.progress.say(f"select: {self.section.minutes:g} minutes of training are used")
                break
            choice = proposals.send(trial)
        record = SelectionRecord(epochs=self.section.epochs or self.epochs, trials=tuple(trials))
        if not record.finished:
            raise StageError(f"select: none of {len(trials)} trials came to an end, the last: {trials[-1].failed}")
        save_record(context.output("selection"), record)
        return f"of {len(trials)} trials {record.best.words} with {record.best.accuracy:.2%}"

    def _tried(
        self, context: Context, inputs: Mapping[str, Path], digests: Mapping[str, JsonValue], choice: Choice
    ) -> Trial:
        """What a student with this choice reaches; known where such a one was trained before, by any selection."""
        stage = self.attempt({**choice, **({"epochs": self.section.epochs} if self.section.epochs else {})})
        key = digest([preimage(stage, {}, context.seed), dict(digests)])
        kept = context.cache / "trials" / f"{key}.json"
        with contextlib.suppress(OSError, ValidationError):
            # another choice may come to the same training: a loss with a temperature of its own
            return Trial.model_validate_json(kept.read_bytes()).model_copy(update={"choice": dict(choice)})
        work = context.work / "trials" / key
        work.mkdir(parents=True, exist_ok=True)
        inner = Context(work, context.cache, stage.outputs, context.seed, context.progress)
        started = time.monotonic()
        try:
            stage.run(inner, inputs)
            reached = NetworkRecord.model_validate_json(inner.output("training").read_bytes())
            trial = Trial(
                choice=dict(choice),
                validation_correct=reached.validation_correct,
                validation_total=reached.validation_total,
                seconds=time.monotonic() - started,
            )
        except StageError as error:  # it did not converge: that is a result
            seconds = time.monotonic() - started
            trial = Trial(
                choice=dict(choice), validation_correct=0, validation_total=1, seconds=seconds, failed=error.what
            )
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, trial.model_dump_json().encode())
        shutil.rmtree(work, ignore_errors=True)
        return trial


def _proposals(section: SelectSection, seed: int) -> Generator[dict[str, JsonValue], Trial, None]:
    """What to try next, when told of each trial: every combination once where there are few, else where the last ones
    promise most (a tree-structured Parzen estimator, Bergstra et al. 2011)."""
    if section.combinations <= section.trials:
        listed = [values for values in section.space.values() if isinstance(values, list)]
        for combination in itertools.product(*listed):
            yield dict(zip(section.space, combination, strict=True))
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    while True:
        asked = study.ask()
        trial = yield _suggested(asked, section)
        if trial.failed:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, trial.accuracy)


def _suggested(asked: optuna.Trial, section: SelectSection) -> dict[str, JsonValue]:
    choice: dict[str, JsonValue] = {}
    for key, values in section.space.items():
        if isinstance(values, Range):
            choice[key] = asked.suggest_float(key, values.low, values.high, log=values.log, step=values.step)
        else:
            choice[key] = values[asked.suggest_categorical(key, list(range(len(values))))]
    return choice
