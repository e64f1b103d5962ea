"""Measuring how many inferences several clients of one session get done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekd.config.target import Measuring
from edgekd.devices.base import Device
from edgekd.harness.disturbances import happened, standing
from edgekd.harness.environment import environment_of
from edgekd.harness.protocol import ThroughputJob
from edgekd.harness.sets import load_orders, run_for
from edgekd.harness.subject import Subject, as_subjects, job_models
from edgekd.harness.summary import compare, estimate
from edgekd.progress import Progress
from edgekd.records.latency import Speed
from edgekd.records.pace import ThroughputModel, ThroughputRecord
from edgekd.records.runtime import RuntimeSettings
from edgekd.temporary import temporary_folder

LOAD_S = 0.2
SETS_IN_PROCESS = 8
PROCESS_S = 2.0


def measure_throughput(
    device: Device,
    runtime: RuntimeSettings,
    measuring: Measuring,
    models: Mapping[str, Path | Subject],
    baseline: str,
    clients: int,
    seed: int,
    progress: Progress,
) -> ThroughputRecord:
    """Inferences a second with `clients` threads on one session, and each model against the baseline.

    Raises:
        StageError: the runtime refuses a model or dies of it.
        ConfigError: an input does not fit a model.
    """
    with device.connect() as workspace, temporary_folder() as folder:
        parts = job_models(workspace, as_subjects(models), None)

        def make_job(number: int, result: str, _left_s: float) -> ThroughputJob:
            generator = np.random.default_rng([seed, number])
            return ThroughputJob(
                runtime=runtime,
                models=tuple(parts),
                sets=tuple(load_orders(generator, len(parts), SETS_IN_PROCESS)),
                process_s=min(PROCESS_S, measuring.seconds / 2),
                clients=clients,
                load_s=LOAD_S,
                result=result,
            )

        results, seen, seconds = run_for(workspace, folder, measuring.seconds, make_job, progress, {"counts": 4})
    counts = np.concatenate([arrays["counts"] for arrays in results])
    times = {
        name: counts[counts[:, 1] == number, 3] / 1e9 / np.maximum(counts[counts[:, 1] == number, 2], 1)
        for number, name in enumerate(models)
    }
    level = 1 - measuring.confidence
    environment = environment_of(seen)
    comparisons = tuple(
        compare(name, baseline, np.log(each / times[baseline]), measuring.margin, level)
        for name, each in times.items()
        if name != baseline
    )
    return ThroughputRecord(
        models=tuple(
            ThroughputModel(
                name=part.name, session=part.session, throughput_per_s=estimate(1 / times[part.name], level)
            )
            for part in parts
        ),
        comparisons=comparisons,
        decided=all(each.outcome is not Speed.UNDECIDED for each in comparisons),
        clients=clients,
        confidence=measuring.confidence,
        seconds=seconds,
        seed=seed,
        environment=environment,
        disturbances=(*standing(environment.machine), *happened(environment)),
    )
