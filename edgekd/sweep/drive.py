"""A sweep by the workers that were asked for."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass

from edgekd.config.pipeline import Pipeline
from edgekd.config.sweep import SweepSection
from edgekd.errors import UsageError
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.store import Store, store_root
from edgekd.progress import Progress
from edgekd.records.sweep import SweepRecord
from edgekd.stages.train import TrainStage
from edgekd.sweep.processes import Processes
from edgekd.sweep.settings import check_settings
from edgekd.sweep.study import Study
from edgekd.sweep.workers import Workers
from edgekd.training.execution import place_here, usable_cores


@dataclass(frozen=True)
class Hands:
    """Who works. count: of trainings at once on this machine, None for as many as suit it; on a cluster there are as
    many as fit. cores: for each training; None for what suits. address: of the cluster."""

    cluster: bool = False
    count: int | None = None
    cores: int | None = None
    address: str | None = None


def sweep(
    pipeline: Pipeline,
    section: SweepSection,
    until: str,
    hands: Hands,
    progress: Progress,
    *,
    assignments: Sequence[str],
    follow: bool,
) -> SweepRecord:
    """assignments: that the pipeline has beside its file, for the record; follow: show how far each training is.

    Raises:
        ConfigError, UsageError: a sweep that cannot be, before anything is trained.
        StoreError: there is no room for what is made.
    """
    if place_here().size > 1:
        raise UsageError(
            "a sweep starts processes of its own", hint="without torchrun; --workers ray for many machines"
        )
    plan = check_settings(pipeline, section, until)
    with _workers(plan, hands, progress, follow=follow) as workers:
        study = Study(pipeline, section, until, workers, Store(store_root()), progress)
        at_once = "on a cluster" if hands.cluster else f"{here(plan, hands)[0]} at a time"
        progress.say(f"{study.total} trials up to {until}, {at_once}")
        record = study.run()
    return record.model_copy(update={"assignments": tuple(assignments)})


@contextmanager
def _workers(plan: Plan, hands: Hands, progress: Progress, *, follow: bool) -> Iterator[Workers]:
    if hands.cluster:
        from edgekd.sweep.cluster import Cluster

        cores = hands.cores or 1  # more is gained by another training than by sharing one out
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(sys.stderr))  # Ray prints there what it lost; a result goes there too
            cluster = Cluster(hands.address, cores, progress, gpu=_on_gpu(plan), follow=follow)
            yield stack.enter_context(closing(cluster))
    else:
        with closing(Processes(*here(plan, hands), progress, follow=follow)) as processes:
            yield processes


def here(plan: Plan, hands: Hands) -> tuple[int, int | None]:
    """How many trainings there are at once on this machine, and the cores of each; None for all that there are.

    A training is cut into shards, a thread each, as many as the cores or the batch allow. What is left beside one is
    for further ones; where it takes all cores, as on a small machine, a second one would wait for the same ones. One by
    itself is trained exactly as `run` does it.
    """
    cores = usable_cores()
    count = hands.count
    if count is None:
        count = max(1, int(cores // (hands.cores or _threads(plan))))
    if hands.cores is not None and hands.cores * count > cores:
        raise UsageError(f"{count} trainings with {hands.cores} cores each are more than the {cores} cores here")
    if count == 1:
        return 1, hands.cores
    return count, hands.cores or max(1, cores // count)


def _threads(plan: Plan) -> float:
    """The most shards that a training of it is cut into; infinitely many where it has a GPU, which is not shared."""
    found = [1.0]
    for node in plan.nodes:
        if isinstance(node.stage, TrainStage) and node.stage.network.options is not None:
            execution = node.stage.execution(node.stage.network.options)
            found.append(execution.shards if execution.device == "cpu" else math.inf)
    return max(found)


def _on_gpu(plan: Plan) -> bool:
    return any(
        isinstance(node.stage, TrainStage)
        and node.stage.network.options is not None
        and node.stage.network.options.device == "cuda"
        for node in plan.nodes
    )
