"""What measuring found: per model its percentiles and costs, per pair a ratio with its interval and an outcome.

Every interval holds at the record's `confidence` over all looks at the data together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from edgekd.records.base import Record
from edgekd.records.environment import Disturbance, Environment
from edgekd.records.instructions import InstructionCount

Interval = tuple[float, float]


class Speed(StrEnum):
    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    UNDECIDED = "undecided"


class Estimate(Record):
    """A value over `count` repetitions; `interval` is None where there are too few of them."""

    value: float
    interval: Interval | None
    count: int


class Percentile(Record):
    """The latency that a share of inferences does not exceed, in seconds.

    method: "loads" (the percentile within a load, its interval over loads) or "order statistics" (few and slow
    inferences: the interval from the ranks of all of them).
    """

    share: float
    value_s: float
    interval_s: Interval | None
    method: Literal["loads", "order statistics"]


class ModelLatency(Record):
    """One model. `warmup` inferences at the start of loads and `settling` ones after a change of model are kept
    in the raw samples and counted in no percentile; `inferences` counts every one that was run. session: the options
    of its own, over those of the runtime, with which it was measured."""

    name: str
    sha256: str
    size_bytes: int
    session: dict[str, str] = {}
    loads: int
    processes: int
    inferences: int
    samples: int
    warmup: int
    settling: int
    percentiles: tuple[Percentile, ...]
    load_spread: float | None
    """Standard deviation of the loads' medians, relative to them: how much one load differs from the next."""
    throughput_per_s: Estimate
    session_load_s: Estimate
    first_inference_s: Estimate
    cold_start_s: Estimate | None
    peak_rss_bytes: int | None
    runtime_rss_bytes: int | None
    """Memory of the same process before the model was loaded; a part of the peak."""
    instructions: InstructionCount | None = None
    """On an emulated processor that counts them, whose times mean nothing."""

    def percentile(self, share: float) -> Percentile | None:
        return next((each for each in self.percentiles if each.share == share), None)


class Comparison(Record):
    """`ratio` is the model's time divided by the baseline's: 1.1 is 10 % slower."""

    model: str
    baseline: str
    ratio: float
    interval: Interval | None
    margin: float
    outcome: Speed
    pairs: int

    def reverse(self) -> Comparison:
        """The baseline against the model."""
        interval = self.speedup_interval
        turned = {Speed.FASTER: Speed.SLOWER, Speed.SLOWER: Speed.FASTER}
        return Comparison(
            model=self.baseline,
            baseline=self.model,
            ratio=self.speedup,
            interval=interval,
            margin=self.margin,
            outcome=turned.get(self.outcome, self.outcome),
            pairs=self.pairs,
        )

    @property
    def speedup(self) -> float:
        """How many times faster than the baseline."""
        return 1 / self.ratio

    @property
    def speedup_interval(self) -> Interval | None:
        return None if self.interval is None else (1 / self.interval[1], 1 / self.interval[0])


class LatencyRecord(Record):
    """`comparisons`: pairs of models, the first of them against the baseline; a model can stand in several. lengths: to
    how many places inputs were cut that may be shorter."""

    kept_as: ClassVar[str] = "latency"

    models: tuple[ModelLatency, ...]
    comparisons: tuple[Comparison, ...]
    confidence: float
    level: float
    """Error probability of one interval at the last look; all looks together spend `1 - confidence`."""
    looks: int
    seconds: float
    seed: int
    overhead_s: float
    """What the timing loop adds to each duration; not subtracted."""
    decided: bool
    would_decide: str | None
    environment: Environment
    disturbances: tuple[Disturbance, ...]
    lengths: dict[str, int] = {}

    def model(self, name: str) -> ModelLatency:
        return next(each for each in self.models if each.name == name)

    def comparison(self, model: str, baseline: str) -> Comparison:
        return next(each for each in self.comparisons if (each.model, each.baseline) == (model, baseline))
