"""What feeds whom in a plan, in the words that several parts of it share."""

from __future__ import annotations

from collections.abc import Mapping

from edgekd.config.networks import CONTROL, STUDENT
from edgekd.config.pipeline import Pipeline
from edgekd.stages.networks import Network

Wiring = dict[str, tuple[str, str]]
SHIPPING = (STUDENT, CONTROL)
SELECT, TRANSFER = "select", "transfer"
CONTRACT: Wiring = {"contract": ("data", "contract")}
VALIDATION: Wiring = {**CONTRACT, "validation": ("data", "validation")}
LEARNED_FROM: Wiring = {**VALIDATION, "train": ("data", "train")}


def beside_of(pipeline: Pipeline, networks: Mapping[str, Network]) -> tuple[str, ...]:
    """The student's like, that it is held against: untaught, and taught otherwise."""
    return tuple(name for name in networks if name == CONTROL or name in pipeline.config.variants)
