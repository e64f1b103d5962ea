"""Trainings of shapes: each is the student's own training of the pipeline, run and kept as `edgekd run` does it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from pydantic import JsonValue

from edgekd.config.check import check
from edgekd.config.inline import inline
from edgekd.config.networks import STUDENT
from edgekd.config.pipeline import Pipeline, PipelineConfig
from edgekd.config.source import assign
from edgekd.errors import ConfigError, StageError
from edgekd.pipeline.engine import Engine, Finished, Selection
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.store import Store
from edgekd.progress import Advance, Progress
from edgekd.records.network import NetworkRecord
from edgekd.records.study import Attempt
from edgekd.stages.assembly import assemble

TRAINING = f"train@{STUDENT}"


def shaped(pipeline: Pipeline, shape: Mapping[str, JsonValue], epochs: int) -> Pipeline:
    """The pipeline with a student of this shape, trained for so many epochs; with the settings that `distill` has, not
    with ones that `distill.select` would try first.

    Raises:
        ConfigError: there is no such architecture, or not with such options.
    """
    source = assign(pipeline.source, "student.model", json.dumps(dict(shape)), "fit")
    source = assign(source, "distill.epochs", str(epochs), "fit")
    if pipeline.config.distill.select is not None:
        source = assign(source, "distill.select", "null", "fit")
    return replace(pipeline, source=source, config=check(PipelineConfig, source))


@dataclass(frozen=True)
class Trainings:
    """`store`: where each result is kept, so that nothing is trained twice, and the one of the shape that is taken is
    there when the pipeline is run."""

    pipeline: Pipeline
    store: Store
    progress: Progress

    def plan(self, shape: Mapping[str, JsonValue], epochs: int) -> Plan:
        plan = assemble(shaped(self.pipeline, shape, epochs)).without_apart()
        return replace(plan, origin=f"{plan.origin} {inline(dict(shape))}")  # not what the pipeline had the last time

    def prepare(self, shape: Mapping[str, JsonValue]) -> None:
        """Makes all that the student's training needs: data and teachers.

        Raises:
            EdgekdError: that fails, so no shape could be trained.
        """
        plan = self.plan(shape, 1)
        node = next(each for each in plan.nodes if each.id == TRAINING)
        for source in dict.fromkeys(source for source, _ in node.inputs.values()):
            self._run(plan, source)
        node.stage.identity()  # what else it names must be there: a given teacher's file

    def attempt(self, number: int, shape: Mapping[str, JsonValue], epochs: int) -> Attempt:
        """One training; that it cannot be made, or comes to no good end, is a result."""
        started = time.monotonic()
        try:
            finished = self._run(self.plan(shape, epochs), TRAINING)
        except (StageError, ConfigError) as error:
            return Attempt(
                shape=number,
                epochs=epochs,
                validation_correct=0,
                validation_total=1,
                seconds=time.monotonic() - started,
                failed=error.what,
            )
        trained = finished[TRAINING]
        path = self.store.path(trained.record.outputs["training"])
        reached = NetworkRecord.model_validate_json(path.read_bytes())
        return Attempt(
            shape=number,
            epochs=epochs,
            validation_correct=reached.validation_correct,
            validation_total=reached.validation_total,
            seconds=trained.record.seconds,
        )

    def screened(self, shape: Mapping[str, JsonValue], epochs: int) -> tuple[Plan, dict[str, Finished]]:
        """Every file that could ship of a trained shape, tried on every target, and what the pipeline chooses; by node.

        Raises:
            EdgekdError: one of the steps failed, or a target cannot be reached.
        """
        plan = self.plan(shape, epochs)
        return plan, self._run(plan, "choose")

    def _run(self, plan: Plan, until: str) -> dict[str, Finished]:
        engine = Engine(self.store, self.progress)
        finished = {each.node.id: each for each in engine.run(plan, Selection(until=until))}
        for error in engine.unreachable.values():
            raise error  # a budget holds on every target
        return finished


class Once:
    """Progress that says once what is cached, as it is in every training."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.said: set[str] = set()

    def task(self, label: str, total: int) -> AbstractContextManager[Advance]:
        return self.progress.task(label, total)

    def say(self, line: str) -> None:
        if line in self.said:
            return
        if ": cached · " in line or line.startswith("warning:"):
            self.said.add(line)
        self.progress.say(line)

    def stop_point(self) -> None:
        self.progress.stop_point()
