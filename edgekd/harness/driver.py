"""Measuring on a device, from the host's side.

A measurement is a row of agent processes. Each loads every model anew several times and interleaves blocks of
them; the host looks at the data at times fixed beforehand and stops when every comparison is decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekd.config.target import Measuring
from edgekd.devices.base import Device
from edgekd.harness.campaign import Campaign
from edgekd.harness.observations import Observations, save_observations
from edgekd.harness.subject import Feeds, Subject, as_subjects, job_models, put_feeds, put_raw, subject_facts
from edgekd.progress import Progress
from edgekd.records.latency import LatencyRecord, Percentile
from edgekd.records.runtime import RuntimeSettings
from edgekd.temporary import temporary_folder

SURE = 1.1  # upper over lower end of a median's interval


def well_known(record: LatencyRecord) -> bool:
    """Whether every comparison is decided, every median known to within 5 % or so, and p90 at all: limits need it."""
    return record.decided and all(
        _width(model.percentile(0.5)) < SURE and _width(model.percentile(0.9)) < math.inf for model in record.models
    )


def _width(percentile: Percentile | None) -> float:
    """Upper over lower end of its interval; infinite without one."""
    if percentile is None or percentile.interval_s is None:
        return math.inf
    low, high = percentile.interval_s
    return high / low


def measure(
    device: Device,
    runtime: RuntimeSettings,
    measuring: Measuring,
    models: Mapping[str, Path | Subject],
    pairs: Sequence[tuple[str, str]],
    seed: int,
    progress: Progress,
    *,
    feeds: Feeds | None = None,
    raw: Feeds | None = None,
    samples: Path | None = None,
    settled: Callable[[LatencyRecord], bool] = well_known,
) -> LatencyRecord:
    """The latency of each model, and the ratio of each pair (model, its baseline). What was observed goes to the file
    `samples` (.npz), from which `reanalyse` makes the same record.

    `feeds` are for every model that brings no input of its own, `raw` for those that take raw samples; their rows are
    cycled through. It ends when what has been measured is `settled`, or with the time of `measuring`.

    Raises:
        StageError: the runtime refuses a model or dies of it, or a setting does not take effect.
        ConfigError: an input does not fit a model.
    """
    subjects = as_subjects(models)
    facts = {name: subject_facts(each) for name, each in subjects.items()}
    observations = Observations(facts, tuple(pairs), measuring, seed)
    with device.connect() as workspace, temporary_folder() as folder:
        shared, fed_raw = put_feeds(workspace, folder, feeds), put_raw(workspace, folder, subjects, raw)
        parts = job_models(workspace, subjects, shared, fed_raw)
        record = Campaign(workspace, folder, runtime, parts, observations, progress).run(settled)
    if samples is not None:
        save_observations(samples, observations)
    return record
