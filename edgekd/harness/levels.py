"""What a file answers under each level of graph optimisation: a fusion may be wrong, or round otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.devices.base import Device
from edgekd.harness.answers import predict
from edgekd.harness.conversation import ModelRefusedError
from edgekd.harness.subject import Feeds, Subject
from edgekd.progress import Progress
from edgekd.records.runtime import LEVELS, Optimisation, RuntimeSettings


@dataclass(frozen=True)
class Replayed:
    """logits: float32 (N, classes) by level. refused: why the file does not run under the others."""

    logits: dict[Optimisation, NDArray[np.float32]]
    refused: dict[Optimisation, str]


def replay(
    device: Device,
    runtime: RuntimeSettings,
    name: str,
    subject: Subject,
    feeds: Feeds,
    progress: Progress,
    *,
    raw: Feeds | None = None,
) -> Replayed:
    """The answers of one file, called `name`, to the same inputs under every level but that of `runtime`, all else as
    it says; feeds, raw: as of `predict`.

    Raises:
        TargetError: the device cannot be reached.
    """
    found = Replayed({}, {})
    for level in LEVELS:
        if level == runtime.optimisation:
            continue
        settings = runtime.model_copy(update={"optimisation": level})
        try:
            found.logits[level] = predict(device, settings, {name: subject}, feeds, progress, raw=raw)[name]
        except ModelRefusedError as error:
            found.refused[level] = str(error)
    return found
