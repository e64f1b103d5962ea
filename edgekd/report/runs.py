"""Where finished runs are, and their records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from edgekd.errors import UsageError
from edgekd.reading import MIB, RefusedError, parse_json, read_regular
from edgekd.records.base import Record
from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.exported import ExportedRecord
from edgekd.records.finetuned import FinetunedRecord
from edgekd.records.instructions import InstructionRecord
from edgekd.records.latency import LatencyRecord
from edgekd.records.layout import LayoutRecord
from edgekd.records.network import NetworkRecord
from edgekd.records.pricing import PricingRecord
from edgekd.records.release import ReleaseRecord
from edgekd.records.repair import RepairRecord
from edgekd.records.run import RunRecord
from edgekd.records.schema1 import run_from_1
from edgekd.records.screening import ChoiceRecord, ScreeningRecord
from edgekd.records.splits import SplitsRecord
from edgekd.records.study import StudyRecord

MOST_BYTES = 256 * MIB
SCHEMA = 2  # every version up to this one is read
REPORTED: tuple[type[Record], ...] = (
    ModelContract,
    SplitsRecord,
    NetworkRecord,
    ExportedRecord,
    LayoutRecord,
    CandidateRecord,
    RepairRecord,
    FinetunedRecord,
    ScreeningRecord,
    ChoiceRecord,
    Evaluation,
    LatencyRecord,
    InstructionRecord,
    ReleaseRecord,
    PricingRecord,
    StudyRecord,
)


def find_run(name: str, runs: Path) -> Path:
    """The run.json of `last` (the newest below `runs`; one of a clock that was ahead comes before all others), of a
    run's folder, or itself.

    Raises:
        UsageError: there is none.
    """
    if name == "last":
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")  # as folders are named
        every = sorted(
            runs.glob("*/*/run.json"), key=lambda path: (path.parent.name[: len(now)] <= now, path.parent.name)
        )
        if not every:
            raise UsageError(f"no runs below {runs}/", hint="`edgekd run PIPELINE` makes one")
        return every[-1]
    path = Path(name)
    candidates = [path, path / "run.json"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UsageError(f"no run at {name}", hint="give a folder below runs/, its run.json, or `last`")


def load_run(path: Path) -> RunRecord:
    """The record in a run.json of any schema so far.

    Raises:
        UsageError: it is none, or of a newer version of edgekd.
    """
    try:
        content = parse_json(read_regular(path, MOST_BYTES))
    except (OSError, RefusedError):
        content = None
    version = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(content, dict) or type(version) is not int:
        raise UsageError(f"{path} is not the record of a run")
    if version not in range(1, SCHEMA + 1):
        raise UsageError(
            f"{path} has schema version {version}, this edgekd reads up to {SCHEMA}", hint="update edgekd to read it"
        )
    try:
        record = RunRecord.model_validate(run_from_1(content) if version == 1 else content)
        check_records(record)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: damaged at {at}: {first['msg']}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: damaged: {type(error).__name__} {error}") from None
    return record


def check_records(record: RunRecord) -> None:
    """
    Raises:
        ValidationError: a record that the report reads is not what its kind says.
    """
    for kind in REPORTED:
        record.all(kind)
