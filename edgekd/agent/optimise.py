"""The job that saves what the runtime makes of a model."""

from __future__ import annotations

from typing import Any

from .report import Reporter
from .session import load


def optimise(job: dict[str, Any], report: Reporter) -> None:
    """Writes the model as it is after each of the wanted levels of optimisation, as files in ONNX's or ONNX Runtime's
    own format."""
    model = job["models"][0]
    for wanted in job["saved"]:
        report("step", what="loading", model=model["name"])
        load(model, {**job["runtime"], "optimisation": wanted["level"]}, wanted)
