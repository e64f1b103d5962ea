"""The record of a measurement of the past, made again from what was observed: the analysis may have got better."""

from __future__ import annotations

from pathlib import Path

from edgekd.harness.observations import load_observations
from edgekd.harness.summary import summarise
from edgekd.records.latency import LatencyRecord


def reanalyse(path: Path) -> LatencyRecord:
    """What the samples file of a measurement says: with the same code exactly what was said then.

    Raises:
        ConfigError: the file cannot be read, or holds no observations.
    """
    return summarise(load_observations(path))
