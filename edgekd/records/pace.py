"""What the other modes of measuring found: inferences at the pace of a sensor, and by several clients at once."""

from __future__ import annotations

from typing import Literal

from edgekd.records.base import Record
from edgekd.records.environment import Disturbance, Environment
from edgekd.records.latency import Comparison, Estimate, Interval, Percentile


class PeriodicModel(Record):
    """One model at the pace of a sensor. Times count from the arrival of a frame.

    missed: frames whose answer came after the deadline or never, `dropped` of them never; response, waiting:
    percentiles of the time to the answer and to the start of its inference, over the frames that were answered;
    session: its own options.
    """

    name: str
    session: dict[str, str] = {}
    loads: int
    frames: int
    missed: int
    dropped: int
    miss_rate: float
    miss_rate_interval: Interval
    response: tuple[Percentile, ...]
    waiting: tuple[Percentile, ...]


class PeriodicRecord(Record):
    """A rate with its interval is all it says, so it is always `decided`."""

    decided: Literal[True] = True
    models: tuple[PeriodicModel, ...]
    period_s: float
    deadline_s: float
    confidence: float
    seconds: float
    seed: int
    environment: Environment
    disturbances: tuple[Disturbance, ...]


class ThroughputModel(Record):
    """session: its own options."""

    name: str
    session: dict[str, str] = {}
    throughput_per_s: Estimate


class ThroughputRecord(Record):
    """`comparisons` are of the time for one inference, as everywhere: a ratio above 1 is slower."""

    models: tuple[ThroughputModel, ...]
    comparisons: tuple[Comparison, ...]
    decided: bool
    clients: int
    confidence: float
    seconds: float
    seed: int
    environment: Environment
    disturbances: tuple[Disturbance, ...]
