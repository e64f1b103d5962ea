"""The job that computes outputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .inputs import given_arrays
from .measure import cold_start
from .report import Refusal, Reporter
from .session import load, save_graph

TOLD_S = 0.1  # between two reports of how far it is


def predict(job: dict[str, Any], report: Reporter) -> None:
    """The raw outputs of each model for the rows of its inputs, in their order: for all of them, or with `seconds`
    for as many as the model's share of that time allows, one batch at least.

    With `look` also the cold start of the first model, and the graph that the runtime makes of each.
    """
    models = job["models"]
    if job["look"]:
        cold_start(models[0], job, report)
    begun = time.monotonic()
    for number, model in enumerate(models):
        share = None if job["seconds"] is None else job["seconds"] * (number + 1) / len(models)
        result = _outputs(model, job, None if share is None else begun + share, report)
        np.save(f"{model['result']}.part.npy", result, allow_pickle=False)
        Path(f"{model['result']}.part.npy").replace(model["result"])
        if job["look"]:
            report("graph", model=model["name"], saved=save_graph(model, job["runtime"], model["graph"]))


def _outputs(model: dict[str, Any], job: dict[str, Any], deadline: float | None, report: Reporter) -> Any:
    report("step", what="loading", model=model["name"])
    session = load(model, job["runtime"])
    inputs = session.get_inputs()
    arrays = given_arrays(Path(model["inputs"]), [each.name for each in inputs])
    rows = min(map(len, arrays.values()))
    fixed = next((each.shape[0] for each in inputs if each.shape and isinstance(each.shape[0], int)), None)
    batch = fixed or job["batch"]
    report("step", what="running", model=model["name"])
    outputs: list[Any] = []
    told, told_rows = time.monotonic(), 0
    for begin in range(0, rows, batch):
        now = time.monotonic()
        if outputs and deadline is not None and now > deadline:
            break
        kept = min(batch, rows - begin)
        feed = {name: _part(array, begin, batch, padded=fixed is not None) for name, array in arrays.items()}
        try:
            outputs.append(session.run(None, feed)[0][:kept])
        except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base
            raise Refusal("run", " ".join(str(error).split())) from None
        if now - told > TOLD_S or begin + kept == rows:
            report("predicted", model=model["name"], rows=begin + kept - told_rows)
            told, told_rows = now, begin + kept
    return np.concatenate(outputs)


def _part(array: Any, begin: int, batch: int, *, padded: bool) -> Any:
    """The rows of one batch; its last row again where a model of fixed batch size finds too few."""
    part = np.ascontiguousarray(array[begin : begin + batch])
    missing = batch - len(part) if padded else 0
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
