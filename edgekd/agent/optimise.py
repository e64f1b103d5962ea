"""The job that saves what the runtime makes of models when it loads them."""

from __future__ import annotations

from typing import Any

from .report import Reporter
from .session import load


def optimise(job: dict[str, Any], report: Reporter) -> None:
    """Each model's graph after the runtime's own optimisation, as an ONNX file."""
    for model in job["models"]:
        report("step", what="loading", model=model["name"])
        load(model, job["runtime"], model["result"])
