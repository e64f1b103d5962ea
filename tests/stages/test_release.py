from __future__ import annotations

from pathlib import Path

from edgekd.config.export import ExportOptions
from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.records.check import Outcome
from edgekd.records.release import ReleaseRecord
from edgekd.records.screening import ChoiceRecord, Verdict
from edgekd.stages.release import ReleaseStage


def release(tmp_path: Path, inputs: dict[str, Path]) -> ReleaseRecord:
    """The gate's answer on the target `here` to these inputs."""
    stage = ReleaseStage(
        pipeline="p",
        seed=0,
        section=ReleaseSection(max_accuracy_drop=1.0),
        targets=(TargetProfile.model_validate({"name": "here", "device": "local"}),),
        candidates=(),
        networks=(),
        modality="image",
        export=ExportOptions(),
    )
    context = Context(tmp_path, tmp_path, stage.outputs, 0, Silent())
    stage.run(context, inputs)
    assert not context.output("bundle").exists()
    return ReleaseRecord.model_validate_json(context.output("release").read_bytes())


def test_a_target_on_which_no_candidate_may_ship_fails_the_release(tmp_path: Path) -> None:
    choice = ChoiceRecord(
        target="here",
        chosen="fp32",
        session={},
        objective="latency",
        max_accuracy_drop=0.003,
        candidates=(Verdict(name="int8_qdq", ships=False, why="loses 1.49 points of accuracy (at most 0.30)"),),
        unfit="no candidate may ship (int8_qdq: loses 1.49 points of accuracy (at most 0.30))",
    )
    (tmp_path / "choice.json").write_text(choice.model_dump_json())
    record = release(tmp_path, {"choose@here": tmp_path / "choice.json"})
    assert record.verdict is Outcome.FAIL
    (check,) = record.checks["here"]
    assert check.name == "candidate"
    assert "loses 1.49 points" in check.why
    assert record.shipped == {}


def test_a_target_that_was_not_reached_leaves_the_release_undecided(tmp_path: Path) -> None:
    record = release(tmp_path, {})
    assert record.verdict is Outcome.UNDECIDED
    assert [check.name for check in record.checks["here"]] == ["reached"]
