"""Everything about one run: the only input of the report. Written as run.json, schema version 1."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from edgekd.records.artifact import Artifact
from edgekd.records.base import Record
from edgekd.records.check import Outcome
from edgekd.records.evaluation import Evaluation
from edgekd.records.exported import Exported
from edgekd.records.instructions import InstructionRecord
from edgekd.records.latency import LatencyRecord
from edgekd.records.network import NetworkRecord
from edgekd.records.quantized import Quantized
from edgekd.records.release import ReleaseRecord

EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.UNDECIDED: 3}


class StageOutcome(Record):
    """`why` says what made the stage run; a cached one has none. `seconds` is the time it took when it ran."""

    id: str
    stage: str
    state: Literal["cached", "ran"]
    why: str
    fingerprint: str
    headline: str
    warnings: tuple[str, ...]
    seconds: float
    outputs: dict[str, Artifact]


class RunRecord(Record):
    """`evaluations`, `latencies` and (on emulated ones) `instructions` are by target; what the run did not reach is
    empty or None. `unreachable`: why a target that the others went on without could not be reached."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    edgekd: str
    name: str
    seed: int
    created: str
    seconds: float
    peak_rss_bytes: int
    machine: dict[str, JsonValue]
    pipeline: str
    config: dict[str, JsonValue]
    targets: list[dict[str, JsonValue]]
    stages: tuple[StageOutcome, ...]
    teacher: NetworkRecord | None = None
    student: NetworkRecord | None = None
    exported: Exported | None = None
    quantized: Quantized | None = None
    evaluations: dict[str, Evaluation] = {}
    latencies: dict[str, LatencyRecord] = {}
    instructions: dict[str, InstructionRecord] = {}
    release: ReleaseRecord | None = None
    unreachable: dict[str, str] = {}
    error: str = ""

    @property
    def exit_code(self) -> int:
        """What the gate decided; 0 for a run that was asked to stop before it."""
        return EXIT_CODES[self.release.verdict] if self.release else 0
