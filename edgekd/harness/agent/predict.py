"""The job that computes outputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .report import Refusal, Reporter
from .session import load


def predict(job: dict[str, Any], report: Reporter) -> None:
    """The raw outputs of each model for all rows of the inputs, in their order."""
    rows = np.load(job["inputs"], mmap_mode="r", allow_pickle=False)
    for model in job["models"]:
        report("step", what="loading", model=model["name"])
        session = load(model, job["runtime"])
        (only,) = session.get_inputs()
        fixed = only.shape[0]
        batch = fixed if isinstance(fixed, int) else job["batch"]
        report("step", what="running", model=model["name"])
        outputs: list[Any] = []
        reported = time.monotonic()
        done = 0
        for begin in range(0, len(rows), batch):
            part = np.ascontiguousarray(rows[begin : begin + batch])
            missing = fixed - len(part) if isinstance(fixed, int) else 0
            if missing:
                part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            try:
                output = session.run(None, {only.name: part})[0]
            except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
                raise Refusal("run", " ".join(str(error).split())) from None
            outputs.append(output[: len(part) - missing])
            if time.monotonic() - reported > 0.1 or begin + batch >= len(rows):
                reached = min(begin + batch, len(rows))
                report("predicted", model=model["name"], rows=reached - done)
                reported, done = time.monotonic(), reached
        result = np.concatenate(outputs)
        np.save(f"{model['result']}.part.npy", result, allow_pickle=False)
        Path(f"{model['result']}.part.npy").replace(model["result"])
