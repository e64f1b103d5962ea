"""What shapes of the student cost on every target, before any is trained."""

from __future__ import annotations

from edgekd.config.pipeline import Pipeline
from edgekd.progress import Progress
from edgekd.records.pricing import PricingRecord


def price(pipeline: Pipeline, progress: Progress, *, deadline: float) -> PricingRecord:
    """Shapes of the pipeline's section `fit`, each untrained, measured on its targets.

    deadline: of `time.monotonic()`, at which the shapes priced by then are given.

    Raises:
        ConfigError: the pipeline has no such section, or its space has no shape that suits the input.
        TargetError: a target cannot be reached.
    """
    raise NotImplementedError
