"""One run of a pipeline, from the checked file to run.json and the bundle."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from edgekd import __version__
from edgekd.config.boundary import interruptions, unchanged
from edgekd.config.pipeline import Pipeline
from edgekd.config.usercode import last_line, own_line
from edgekd.errors import ConfigError, EdgekdError, StageError, StoreError, Terminated, UsageError, words_of
from edgekd.extras import missing
from edgekd.harness.environment import machine_identity
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.running import VANISHED, lay_to_rest, running, vanished_runs
from edgekd.pipeline.stage import Context
from edgekd.pipeline.store import Store, guarded, store_root, write_atomically
from edgekd.progress import Progress, Silent
from edgekd.records.check import Outcome
from edgekd.records.release import ReleaseRecord
from edgekd.records.run import NOT_RELEASED, RunRecord, StageOutcome
from edgekd.records.screening import ChoiceRecord
from edgekd.release.archive import unpack_archive
from edgekd.stages.assembly import assemble
from edgekd.stages.together import await_call, check_same, dismiss_others
from edgekd.stages.train import TrainStage
from edgekd.temporary import temporary_folder

KEPT = ("choose", "release")
"""The stages whose results are looked at for what the gate did not let pass."""


def run_pipeline(pipeline: Pipeline, selection: Selection, progress: Progress, *, runs: Path) -> tuple[Path, RunRecord]:
    """The run's folder and its record, which is written there whether the run succeeds, fails or is interrupted.

    Raises:
        EdgekdError: a stage failed; what was finished is in run.json and in the store.
    """
    return run_plan(pipeline, assemble(pipeline), selection, progress, runs=runs)


def run_plan(
    pipeline: Pipeline, plan: Plan, selection: Selection, progress: Progress, *, runs: Path
) -> tuple[Path, RunRecord]:
    """`run_pipeline` with a plan of one's own for the pipeline."""
    started, created = time.monotonic(), datetime.now(UTC)
    share_processor()
    _check_names(plan, selection)
    _check_libraries(plan)
    engine = Engine(Store(store_root()), progress)
    parent = runs / pipeline.config.name
    for gone in vanished_runs(parent):
        progress.say(f"warning: the run {gone} {VANISHED}; what it finished is in the store")
        lay_to_rest(gone)
    folder = _new_folder(parent, created)
    error = ""
    received: Sequence[int] = ()
    try:
        with interruptions() as received, running(folder):
            _write(folder, _record(pipeline, engine, created, 0.0, "", "running"))
            with unchanged():  # a network of the user's own computes outside of `others_code`
                engine.run(plan, selection)
            _unpack_bundle(engine, folder)
            _keep_unreleased(engine, folder)
        dismiss_others()
    except EdgekdError as failure:
        cause = failure.__cause__  # of a StoreError: maybe an OSError that own code raised
        if isinstance(cause, OSError) and (told := _of_own_code(cause, received)) is not None:
            error = str(told)
            dismiss_others()
            raise told from failure
        locate(failure, pipeline)
        error = str(failure)
        if not isinstance(failure, StoreError):  # which the others do not have
            dismiss_others()
        raise
    except BaseException as failure:
        told = _of_own_code(failure, received)
        if told is None:
            error = (
                "interrupted"
                if isinstance(failure, KeyboardInterrupt)
                else f"{type(failure).__name__}: {words_of(failure)}"
            )
            raise
        error = str(told)
        raise told from failure
    finally:
        record = _record(pipeline, engine, created, time.monotonic() - started, error, "ended")
        _write(folder, record)
    return folder, record


def _of_own_code(failure: BaseException, received: Sequence[int]) -> StageError | None:
    """What tells that the user's code failed, or None where it did not; received: the SIGINTs that came meanwhile.

    No code of edgekd ends the process: what does was called by the user's, in a package or another thread.
    """
    if isinstance(failure, KeyboardInterrupt) and (received or isinstance(failure, Terminated)):
        return None
    where = own_line(failure) or (last_line(failure) if isinstance(failure, SystemExit) else None)
    if where is None:
        return None
    reason = words_of(failure)
    return StageError(f"own code failed: {type(failure).__name__}{f': {reason}' if reason else ''}", where=where)


def follow_pipeline(pipeline: Pipeline) -> None:
    """What every process but the first does: it takes part in the trainings that the first one calls it to.

    An error that ends a training ends it in all processes, and the first one tells it.

    Raises:
        ConfigError: this process has another pipeline, another edgekd or other libraries.
    """
    share_processor()
    stages = {
        node.stage.network.name: node.stage for node in assemble(pipeline).nodes if isinstance(node.stage, TrainStage)
    }
    with temporary_folder() as folder:
        while (called := await_call(folder)) is not None:
            group, call, inputs = called
            stage = stages.get(call.network)
            check_same(call, {} if stage is None else stage.made_of(call.seed))
            assert stage is not None
            context = Context(folder, folder / "cache", stage.outputs, call.seed, Silent())
            with contextlib.suppress(EdgekdError):
                stage.take_part(context, inputs, group)


def share_processor() -> None:
    """Lets torch's waiting threads sleep early; it reads this when it is first imported.

    By default they spin for milliseconds, which slows a training four- to tenfold while anything else runs on the
    same cores, and gains nothing that could be measured while nothing does.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _check_names(plan: Plan, selection: Selection) -> None:
    """Refuses a mistyped stage before anything is made."""
    for name in (selection.start, selection.until):
        if name is not None:
            plan.positions(name)


def _check_libraries(plan: Plan) -> None:
    """
    Raises:
        UsageError: a stage needs a library that is not installed.
    """
    for node in plan.nodes:
        for name in node.stage.libraries:
            command = missing(name)
            if command is not None:
                raise UsageError(f"{node.id} needs {name}, which is not installed", hint=command)


def _new_folder(parent: Path, created: datetime) -> Path:
    """runs/NAME/TIME, a new one even for two runs in the same second."""
    stamp = created.strftime("%Y-%m-%dT%H-%M-%S")
    with guarded(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = parent / (stamp if attempt == 0 else f"{stamp}-{attempt}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    raise FileExistsError(parent / stamp)


def locate(error: EdgekdError, pipeline: Pipeline) -> None:
    """Gives wrong input that only a stage could find its file:line, from its section (`teacher.checkpoint`)."""
    if isinstance(error, ConfigError) and error.where and error.where.partition(".")[0] in pipeline.source.data:
        section = error.where
        error.where = pipeline.source.where(tuple(int(part) if part.isdigit() else part for part in section.split(".")))
        error.what = f"{section}: {error.what}"


def _unpack_bundle(engine: Engine, folder: Path) -> None:
    """The bundle appears in the run's folder whole or not at all."""
    for finished in engine.finished:
        archive = finished.record.outputs.get("bundle")
        if archive is not None:
            with guarded(folder):
                unpack_archive(engine.store.path(archive), folder / ".bundle")
                (folder / ".bundle").rename(folder / "bundle")


def _keep_unreleased(engine: Engine, folder: Path) -> None:
    """What was chosen, where the gate did not let it pass, and why; whole or not at all."""
    records = {each.node.id: dict(engine.records(each)) for each in engine.finished if each.node.stage.name in KEPT}
    release = next((each["release"] for each in records.values() if "release" in each), None)
    if not isinstance(release, ReleaseRecord) or release.verdict is Outcome.PASS:
        return
    with guarded(folder):
        part = folder / f".{NOT_RELEASED}"
        part.mkdir()
        for finished in engine.finished:
            choice = records.get(finished.node.id, {}).get("choice")
            if isinstance(choice, ChoiceRecord):
                path = engine.store.path(finished.record.outputs["model"])
                shutil.copyfile(path, part / f"{choice.target}.{choice.chosen}.onnx")
        (part / "WHY.txt").write_text("\n".join(_told(release)) + "\n", encoding="utf-8")
        part.rename(folder / NOT_RELEASED)


def _told(release: ReleaseRecord) -> Iterator[str]:
    yield f"These models were not released: the verdict of the gate is {release.verdict.value}."
    for target, checks in release.checks.items():
        for check in checks:
            if check.outcome is not Outcome.PASS:
                yield f"{target}: {check.name}: {check.outcome.value}: {check.why}"
        yield from (f"{target}: {line}" for line in release.levers.get(target, ()))


def _write(folder: Path, record: RunRecord) -> None:
    with guarded(folder):
        write_atomically(folder / "run.json", record.model_dump_json(indent=1, by_alias=True).encode())


def _record(
    pipeline: Pipeline,
    engine: Engine,
    created: datetime,
    seconds: float,
    error: str,
    state: Literal["running", "ended"],
) -> RunRecord:
    config = pipeline.config
    return RunRecord(
        edgekd=__version__,
        name=config.name,
        seed=config.seed,
        created=created.isoformat(timespec="seconds"),
        seconds=seconds,
        peak_rss_bytes=_peak_rss_bytes(),
        machine=machine_identity(),
        pipeline=str(pipeline.source.path),
        config=config.model_dump(mode="json", by_alias=True),
        targets=[target.model_dump(mode="json") for target in pipeline.targets],
        stages=tuple(
            StageOutcome(
                id=each.node.id,
                stage=each.node.stage.name,
                state="ran" if each.why else "cached",
                why=each.why,
                fingerprint=each.record.fingerprint,
                headline=each.record.headline,
                warnings=each.record.warnings,
                seconds=each.record.seconds,
                outputs=each.record.outputs,
            )
            for each in engine.finished
        ),
        records=_records(engine),
        unreachable={name: str(each) for name, each in engine.unreachable.items()},
        error=error,
        state=state,
    )


def _records(engine: Engine) -> dict[str, dict[str, JsonValue]]:
    """What the stages wrote, by the kind of record, then by what it is about. What has left the store meanwhile is left
    out: a run that fails must say why, whatever else is wrong."""
    found: dict[str, dict[str, JsonValue]] = {}
    for finished in engine.finished:
        with contextlib.suppress(OSError, ValidationError):
            for _, record in engine.records(finished):
                about = finished.node.subject or finished.node.id
                found.setdefault(record.kept_as, {})[about] = record.model_dump(mode="json")
    return found


def _peak_rss_bytes() -> int:
    """Of this process or the largest that it started."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
