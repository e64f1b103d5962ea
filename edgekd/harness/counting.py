"""How many instructions an inference takes: a cost that no neighbour and no clock changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekd.devices.base import Device
from edgekd.errors import StageError
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import CountJob
from edgekd.harness.subject import Feeds, Subject, as_subjects, job_models, put_feeds, put_raw
from edgekd.records.instructions import InstructionCount
from edgekd.records.runtime import RuntimeSettings
from edgekd.temporary import temporary_folder

RUNS = 21
MARKS = 3  # a run


def count_instructions(
    device: Device,
    runtime: RuntimeSettings,
    models: Mapping[str, Path | Subject],
    folder: Path,
    *,
    feeds: Feeds | None = None,
    raw: Feeds | None = None,
) -> dict[str, InstructionCount]:
    """What one inference of each model executes on an emulated processor, with one thread.

    `feeds` are for every model that brings no input of its own, `raw` for those that take raw samples; `folder` is for
    files on the way.

    Raises:
        TargetError: the device cannot count.
        StageError: the runtime refuses a model or dies of it, or the count is not what its marks give.
    """
    subjects = as_subjects(models)
    marks = folder / "marks.txt"
    # several threads wait for each other, in loops of as many rounds as it takes
    alone = runtime.with_one_thread()
    with device.count_into(marks) as workspace:
        shared, fed_raw = put_feeds(workspace, folder, feeds), put_raw(workspace, folder, subjects, raw)
        parts = tuple(job_models(workspace, subjects, shared, fed_raw))
        converse(workspace, CountJob(runtime=alone, models=parts, runs=RUNS), lambda _event: None)
    return dict(zip(subjects, counts_of(marks.read_text().split(), len(subjects)), strict=True))


def counted(
    device: Device, runtime: RuntimeSettings, models: Mapping[str, Subject], *, feeds: Feeds | None = None
) -> dict[str, InstructionCount]:
    """The same where the device can count, empty where it cannot."""
    if not device.counts:
        return {}
    with temporary_folder() as folder:
        return count_instructions(device, runtime, models, folder, feeds=feeds)


def counts_of(marks: list[str], models: int) -> list[InstructionCount]:
    """From the totals at all marks to the count of each model, less what marking itself executes.

    Raises:
        StageError: they are not what the agent's marks give.
    """
    if len(marks) != models * RUNS * MARKS or not all(mark.isdigit() for mark in marks):
        raise StageError(f"the emulator counted {len(marks)} marks, not {models * RUNS * MARKS}")
    totals = np.array(marks, np.int64).reshape(models, RUNS, MARKS)
    executed = (totals[:, :, 1] - totals[:, :, 0]) - np.median(totals[:, :, 2] - totals[:, :, 1], axis=1)[:, None]
    return [
        InstructionCount(
            median=round(float(np.median(each))),
            least=round(float(each.min())),
            most=round(float(each.max())),
            runs=RUNS,
        )
        for each in executed
    ]
