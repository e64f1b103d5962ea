"""fit: shapes of the student priced, the promising ones trained, the best of them taken."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue, ValidationError

from edgekd.config.component import component_class, identity, module_code
from edgekd.config.fit import ARCHITECTURES, FitSection
from edgekd.config.inline import inline
from edgekd.config.pipeline import Pipeline
from edgekd.config.registry import MODELS
from edgekd.config.usercode import own_code
from edgekd.errors import StageError, UsageError
from edgekd.fit.closest import nothing_within
from edgekd.fit.entrants import capacity, entrants
from edgekd.fit.finals import judge
from edgekd.fit.front import taken
from edgekd.fit.halving import FINALISTS, Course, halve, ranking
from edgekd.fit.pricing import price
from edgekd.fit.trainings import Once, Trainings, shaped
from edgekd.pipeline.plan import Node, Plan
from edgekd.pipeline.stage import Context, Stage
from edgekd.pipeline.store import Store, store_root, write_atomically
from edgekd.progress import Progress
from edgekd.records.pricing import Priced, PricingRecord
from edgekd.records.study import Attempt, Entrant, Rung, StudyRecord
from edgekd.stages.assembly import assemble
from edgekd.stages.files import save_record
from edgekd.stages.networks import TrainedNetwork
from edgekd.stages.targets import device_of, machine_of
from edgekd.stages.train import TrainStage
from edgekd.training.execution import place_here

PRICING_SHARE = 1 / 4
"""Of the minutes, at most."""


def fit_plan(pipeline: Pipeline) -> Plan:
    """The search as a plan of its own, so that it is run, kept and told of as every run is."""
    origin = str(pipeline.source.path.resolve())
    return Plan(pipeline.config.name, pipeline.config.seed, (Node("fit", FitStage(pipeline), {}, "student"),), origin)


@dataclass(frozen=True)
class FitStage(Stage):
    """It runs further plans inside: each training is a result of its own in the store."""

    pipeline: Pipeline

    name = "fit"
    outputs = {"pricing": "pricing.json", "study": "study.json"}
    records = {"pricing": PricingRecord, "study": StudyRecord}
    libraries = ("torch", "torchvision", "onnxruntime", "onnx", "numpy", "scipy")
    seeded = True
    alone = True

    @property
    def section(self) -> FitSection:
        assert self.pipeline.config.fit is not None, "the command asked for it"
        return self.pipeline.config.fit

    def identity(self) -> JsonValue:
        """The section, and what all steps up to the choice of a file do, whatever the student's model is."""
        some = assemble(shaped(self.pipeline, {"use": "conv"}, self.pipeline.config.distill.epochs))
        return {
            "section": identity(self.section),
            "code": {use: _code(use, self.pipeline) for use in self._architectures},
            "steps": {node.id: node.stage.identity() for node in some.up_to("choose").nodes},
            "demands": {each.name: each.min_accuracy for each in _trained(some)},
            "measure": {each.name: identity(each.measure) for each in self.pipeline.targets},
        }

    @property
    def _architectures(self) -> list[str]:
        return [each.use for each in self.section.space] or list(ARCHITECTURES)

    def environment(self) -> dict[str, JsonValue]:
        devices = {each.name: device_of(each) for each in self.pipeline.targets}
        return {name: {**machine_of(each), "counts": each.counts} for name, each in devices.items()}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:  # noqa: ARG002 - it makes its inputs itself
        if place_here().size > 1:
            raise UsageError("edgekd fit trains in one process", hint="run it without torchrun")
        config, progress = self.pipeline.config, Once(context.progress)
        pricing = self._priced(context)
        shapes = entrants(pricing.shapes, context.seed)
        progress.say(f"fit: {len(shapes)} of {len(pricing.shapes)} shapes are within every target's budget")
        if not shapes:
            raise nothing_within(pricing.shapes, self.section.budget)
        trainings = Trainings(self.pipeline, Store(store_root()), progress)
        trainings.prepare(shapes[0].shape)
        targets = self.pipeline.targets
        course = Course(
            epochs=config.distill.epochs,
            views=config.distill.views,
            seconds=60 * self.section.minutes - pricing.seconds,
            closing=sum(each.measure.screen_seconds + each.measure.seconds / FINALISTS for each in targets),
        )
        costs = [_cost(each) for each in shapes]
        trained = Told(trainings, shapes, progress)
        rungs = halve(len(shapes), trained.attempt, course, costs)
        best = ranking(rungs[-1].attempts, costs)[:FINALISTS]
        if not best:
            last = rungs[-1].attempts[-1]
            raise StageError(
                f"fit: none of {len(rungs[-1].attempts)} trainings came to an end, the last: {last.failed}"
            )
        known = [Entrant(shape=each.shape, parameters=each.parameters, macs=each.macs) for each in shapes]
        started = time.monotonic()
        finalists = judge(
            trainings,
            {number: known[number] for number in sorted(best)},
            course.epochs,
            self.section.budget,
            context.seed + 2,  # not the orders that screening had
            progress,
        )
        choice = taken(finalists)
        tried = 1 + max(each.shape for rung in rungs for each in rung.attempts)
        spent = sum(each.seconds for rung in rungs for each in rung.attempts)
        record = StudyRecord(
            budget=self.section.budget.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
            priced=len(pricing.shapes),
            within=len(shapes),
            entrants=tuple(known[:tried]),
            rungs=tuple(rungs),
            finalists=finalists,
            taken=None if choice is None else choice[0].shape,
            why="no finalist is within the budget" if choice is None else choice[1],
            foretold=_foretold(shapes, rungs[0]),
            pricing_seconds=pricing.seconds,
            seconds=pricing.seconds + spent + time.monotonic() - started,
        )
        save_record(context.output("pricing"), pricing)
        save_record(context.output("study"), record)
        if choice is None:
            return record.why
        return f"{inline(known[choice[0].shape].shape)}: {choice[1]}"

    def _priced(self, context: Context) -> PricingRecord:
        """What shapes cost; kept when the search is interrupted afterwards, for measured again it would be another."""
        kept = context.work / "pricing.json"
        with contextlib.suppress(OSError, ValidationError):
            return PricingRecord.model_validate_json(kept.read_bytes())
        deadline = time.monotonic() + 60 * self.section.minutes * PRICING_SHARE
        record = price(self.pipeline, context.progress, deadline=deadline)
        write_atomically(kept, record.model_dump_json().encode())
        return record


@dataclass(frozen=True)
class Told:
    """Trainings of the priced shapes by their numbers, each told when it is done."""

    trainings: Trainings
    shapes: Sequence[Priced]
    progress: Progress

    def attempt(self, number: int, epochs: int) -> Attempt:
        attempt = self.trainings.attempt(number, self.shapes[number].shape, epochs)
        told = attempt.failed or f"{attempt.accuracy:.2%} of validation right in {attempt.seconds:.1f} s"
        self.progress.say(f"fit: {inline(self.shapes[number].shape)}, {epochs} epochs: {told}")
        return attempt


def _trained(plan: Plan) -> list[TrainedNetwork]:
    return [node.stage.network for node in plan.nodes if isinstance(node.stage, TrainStage)]


def _code(use: str, pipeline: Pipeline) -> JsonValue:
    """The code of an architecture: edgekd's own, or a file of the user's; of an installed package its name alone."""
    name = use.rpartition(":")[0]
    if name.endswith(".py"):
        file = (pipeline.source.path.resolve().parent / name).resolve()
        return dict[str, JsonValue](own_code(file)) if file.is_file() else name  # what is missing pricing will tell
    return module_code(component_class(MODELS, use).__module__) if use in MODELS.members else use


def _cost(shape: Priced) -> float:
    """The product of its costs over all targets, as a logarithm."""
    best = [shape.best(target) for target in shape.files]
    return sum(math.log(each.cost) for each in best if each is not None and each.cost)


def _foretold(shapes: Sequence[Priced], rung: Rung) -> float | None:
    """The rank correlation (Spearman's) of capacity and accuracy; None where there are too few that differ."""
    from scipy.stats import spearmanr

    ended = [each for each in rung.attempts if not each.failed]
    guessed, reached = [capacity(shapes[each.shape]) for each in ended], [each.accuracy for each in ended]
    if min(len(set(guessed)), len(set(reached))) < 3:
        return None
    return float(np.asarray(spearmanr(guessed, reached).statistic))
