"""The finalists on the targets: what would ship of each, how right it is, and what it takes, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.config.fit import Budget, Costs
from edgekd.config.target import TargetProfile
from edgekd.errors import ConfigError, StageError
from edgekd.fit.front import front_of, most_accurate
from edgekd.fit.trainings import Trainings
from edgekd.graph.quantization.choice import choose
from edgekd.harness.answers import predict
from edgekd.harness.driver import measure
from edgekd.harness.scoring import paired, wilson
from edgekd.harness.subject import Subject
from edgekd.pipeline.engine import Finished
from edgekd.pipeline.plan import Plan
from edgekd.progress import Progress
from edgekd.records.contract import ModelContract
from edgekd.records.latency import LatencyRecord
from edgekd.records.screening import ChoiceRecord, Screened, ScreeningRecord
from edgekd.records.study import Entrant, Finalist, ShippingFile
from edgekd.report.text import duration
from edgekd.stages.choose import ChooseStage
from edgekd.stages.files import load_record, load_split
from edgekd.stages.measure import INPUTS
from edgekd.stages.target_stage import fed, fed_in_parts, subject
from edgekd.stages.targets import device_of


@dataclass(frozen=True)
class _Shipping:
    """A finalist's file on one target. usual: what the pipeline would ship there."""

    subject: Subject
    screened: Screened
    usual: str


def judge(
    trainings: Trainings,
    shapes: Mapping[int, Entrant],
    epochs: int,
    budget: Budget,
    seed: int,
    progress: Progress,
) -> tuple[Finalist, ...]:
    """What would ship of each shape, by its number. All files of a target are measured in one interleaved campaign, on
    loads of their own: what chose them is not what they are judged by.

    Raises:
        EdgekdError: a target fails, or no shape has a file that could ship.
    """
    failed: dict[int, str] = {}
    shipping: dict[str, dict[int, _Shipping]] = {}
    data: Finished | None = None
    for number, shape in shapes.items():
        try:
            plan, finished = trainings.screened(shape.shape, epochs)
            found = {
                target.name: _shipping(trainings, plan, finished, target, budget.on(target.name))
                for target in trainings.pipeline.targets
            }
        except (StageError, ConfigError) as error:
            failed[number] = error.what
            continue
        data = finished["data"]
        for name, each in found.items():
            shipping.setdefault(name, {})[number] = each
    files: dict[int, dict[str, ShippingFile]] = {number: {} for number in shapes}
    right: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for target in trainings.pipeline.targets if data is not None else ():
        assert data is not None
        subjects = {number: each.subject for number, each in shipping[target.name].items()}
        right[target.name] = _answers(trainings, data, target, subjects, progress)
        times = _times(trainings, data, target, subjects, seed, progress)
        for number, each in shipping[target.name].items():
            files[number][target.name] = _file(each, right[target.name][number], times, number, budget.on(target.name))
    finalists = [
        Finalist(shape=number, files=files[number], unfit=failed.get(number) or _unfit(files[number], shape, budget))
        for number, shape in shapes.items()
    ]
    return _compared(finalists, right)


def _shipping(
    trainings: Trainings, plan: Plan, finished: Mapping[str, Finished], target: TargetProfile, costs: Costs
) -> _Shipping:
    """The file that the pipeline's own rule takes there, of those that are as small as the budget asks for.

    Raises:
        StageError: none may ship.
    """
    store, name = trainings.store, target.name
    screening = load_record(ScreeningRecord, store.path(finished[f"screen@{name}"].record.outputs["screening"]))
    stage = next(each.stage for each in plan.nodes if each.id == f"choose@{name}")
    assert isinstance(stage, ChooseStage)
    limits = [each for each in (target.limits.model_bytes, costs.model_bytes) if each is not None]

    def chosen(most_bytes: int | None) -> ChoiceRecord:
        margin = target.measure.margin
        return choose(screening, stage.allowed, stage.objective, stage.max_accuracy_drop, margin, most_bytes)

    choice = chosen(min(limits, default=None))
    if choice.unfit:
        raise StageError(f"{name}: {choice.unfit}")
    path = store.path(finished[f"quantize@{choice.chosen}"].record.outputs["model"])
    return _Shipping(
        subject(path, choice.session), screening.candidate(choice.chosen), chosen(target.limits.model_bytes).chosen
    )


def _answers(
    trainings: Trainings, data: Finished, target: TargetProfile, subjects: Mapping[int, Subject], progress: Progress
) -> dict[int, NDArray[np.bool_]]:
    """Which validation samples each file has right there."""
    contract = load_record(ModelContract, trainings.store.path(data.record.outputs["contract"]))
    validation = load_split(trainings.store.path(data.record.outputs["validation"]))
    models = {str(number): each for number, each in subjects.items()}
    parts = [
        predict(device_of(target), target.runtime, models, part.feeds, progress, raw=part.raw)
        for part in fed_in_parts(contract, validation.samples)
    ]
    return {
        number: np.concatenate([part[str(number)] for part in parts]).argmax(axis=1) == validation.labels
        for number in subjects
    }


def _times(
    trainings: Trainings,
    data: Finished,
    target: TargetProfile,
    subjects: Mapping[int, Subject],
    seed: int,
    progress: Progress,
) -> LatencyRecord | None:
    """Their times side by side; None on a target whose times mean nothing."""
    if device_of(target).emulated:
        return None
    contract = load_record(ModelContract, trainings.store.path(data.record.outputs["contract"]))
    samples = load_split(trainings.store.path(data.record.outputs["validation"])).samples[:INPUTS]
    inputs = fed(contract, samples)
    first, *others = map(str, subjects)
    return measure(
        device_of(target),
        target.runtime,
        target.measure,
        {str(number): each for number, each in subjects.items()},
        [(other, first) for other in others],
        seed,
        progress,
        feeds=inputs.feeds,
        raw=inputs.raw,
    )


def _file(
    each: _Shipping, right: NDArray[np.bool_], times: LatencyRecord | None, number: int, costs: Costs
) -> ShippingFile:
    median = None if times is None else times.model(str(number)).percentile(0.5)
    file = ShippingFile(
        candidate=each.screened.name,
        size_bytes=each.screened.size_bytes,
        correct=int(right.sum()),
        samples=len(right),
        accuracy_interval=wilson(int(right.sum()), len(right)),
        p50_s=None if median is None else median.value_s,
        p50_interval_s=None if median is None else median.interval_s,
        instructions=each.screened.instructions,
        otherwise="" if each.usual == each.screened.name else each.usual,
    )
    return file.model_copy(update={"unfit": over(file, costs)})


def over(file: ShippingFile, costs: Costs) -> str:
    """What of the budget a file surely breaks: a time by its whole interval."""
    if file.p50_s is not None and costs.p50_ms is not None:
        low = file.p50_s if file.p50_interval_s is None else file.p50_interval_s[0]
        if low > costs.p50_ms / 1e3:
            return f"{file.candidate} takes {duration(file.p50_s)}, the budget is {duration(costs.p50_ms / 1e3)}"
    if file.instructions is not None and costs.instructions is not None and file.instructions > costs.instructions:
        return f"{file.candidate} executes {file.instructions:,} instructions, the budget is {costs.instructions:,}"
    if costs.model_bytes is not None and file.size_bytes > costs.model_bytes:
        return f"{file.candidate} has {file.size_bytes:,} bytes, the budget is {costs.model_bytes:,}"
    return ""


def _unfit(files: Mapping[str, ShippingFile], shape: Entrant, budget: Budget) -> str:
    if budget.parameters is not None and shape.parameters > budget.parameters:
        return f"{shape.parameters:,} parameters, the budget is {budget.parameters:,}"
    return "; ".join(f"{name}: {each.unfit}" for name, each in files.items() if each.unfit)


def _compared(
    finalists: Sequence[Finalist], right: Mapping[str, Mapping[int, NDArray[np.bool_]]]
) -> tuple[Finalist, ...]:
    """Each with its answers against the most accurate one's, and whether it is on the front."""
    best = most_accurate(finalists)
    front = front_of(finalists)

    def against(each: Finalist) -> Finalist:
        pairs = {}
        if best is not None and each is not best:
            pairs = {
                name: paired(str(each.shape), str(best.shape), right[name][each.shape], right[name][best.shape])
                for name in each.files
            }
        return each.model_copy(update={"against_best": pairs, "front": each.shape in front})

    return tuple(map(against, finalists))
