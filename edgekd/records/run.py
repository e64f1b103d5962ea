"""Everything about one run: the only input of the report. Written as run.json, schema version 2."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import ConfigDict, Field, JsonValue

from edgekd.records.artifact import Artifact
from edgekd.records.base import Record
from edgekd.records.check import Outcome
from edgekd.records.release import ReleaseRecord

NOT_RELEASED = "not-released"
"""The folder in a run's folder with the models that the gate did not let pass."""
EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.UNDECIDED: 3}


AnyRecord = TypeVar("AnyRecord", bound=Record)


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
    """`records`: what the stages wrote, by the kind of record, then by what it is about: a network, a candidate, a
    target. `unreachable`: why a target that the others went on without could not be reached. `state`: "running" from
    the start of a run to its end, and for good where it never came to one."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[2] = Field(2, alias="schema")
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
    records: dict[str, dict[str, JsonValue]] = {}
    unreachable: dict[str, str] = {}
    error: str = ""
    state: Literal["running", "ended"] = "ended"

    def all(self, kind: type[AnyRecord]) -> dict[str, AnyRecord]:
        """Every record of a kind, by what it is about, in the order of the plan.

        Raises:
            ValidationError: one of them is not what its kind says.
        """
        return {subject: kind.model_validate(each) for subject, each in self.records.get(kind.kept_as, {}).items()}

    @property
    def release(self) -> ReleaseRecord | None:
        return next(iter(self.all(ReleaseRecord).values()), None)

    @property
    def exit_code(self) -> int:
        """What the gate decided; 0 for a run that was asked to stop before it."""
        return EXIT_CODES[self.release.verdict] if self.release else 0
