"""The job that saves what the runtime makes of a model."""

from __future__ import annotations

from typing import Any

from .report import Reporter
from .session import load


def optimise(job: dict[str, Any], report: Reporter) -> None:
    """Writes models as they are after a level of optimisation, as files in ONNX's or ONNX Runtime's own format."""
    models = {each["name"]: each for each in job["models"]}
    for wanted in job["saved"]:
        model = models[wanted["model"]]
        report("step", what="loading", model=model["name"])
        load(model, {**job["runtime"], "optimisation": wanted["level"]}, wanted)
