from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekd.config.export import ExportOptions
from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.records.arrays import save_arrays
from edgekd.records.check import Outcome
from edgekd.records.release import ReleaseRecord
from edgekd.records.screening import ChoiceRecord, Verdict
from edgekd.stages.release import ReleaseStage


def release(tmp_path: Path, inputs: dict[str, Path], *further: str) -> ReleaseRecord:
    """The gate's answer on the target `here`, and on `further` ones, to these inputs."""
    stage = ReleaseStage(
        pipeline="p",
        seed=0,
        section=ReleaseSection(max_accuracy_drop=1.0),
        targets=tuple(TargetProfile.model_validate({"name": name, "device": "local"}) for name in ("here", *further)),
        candidates=(),
        networks=(),
        modality="image",
        export=ExportOptions(),
    )
    context = Context(tmp_path, tmp_path, stage.outputs, 0, Silent())
    stage.run(context, inputs)
    assert not context.output("bundle").exists()
    return ReleaseRecord.model_validate_json(context.output("release").read_bytes())


def choice_of(chosen: str, target: str = "here") -> ChoiceRecord:
    return ChoiceRecord(
        target=target,
        chosen=chosen,
        session={},
        objective="latency",
        max_accuracy_drop=0.003,
        candidates=(Verdict(name="int8_qdq", ships=False, why="loses 1.49 points of accuracy (at most 0.30)"),),
        unfit="no candidate may ship (int8_qdq: loses 1.49 points of accuracy (at most 0.30))",
    )


def test_a_target_on_which_no_candidate_may_ship_fails_the_release(tmp_path: Path) -> None:
    (tmp_path / "choice.json").write_text(choice_of("fp32").model_dump_json())
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


def test_answers_that_flip_between_targets_are_told_by_sample_also_where_they_ship_different_files(
    tmp_path: Path,
) -> None:
    shipped = {"here": "fp32", "board": "int8_qdq", "spare": "int8_qdq", "twin": "fp32"}
    logits = np.array([[3, 1], [0, 2], [1, 0.5]], np.float32)
    given = {name: logits.copy() for name in shipped}
    given["board"][2] = (1, 1.25)
    given["spare"][2] = (1.5, 1.25)
    inputs: dict[str, Path] = {}
    for name, chosen in shipped.items():
        inputs |= {f"choose@{name}": tmp_path / f"{name}.json", f"logits@{name}": tmp_path / f"{name}.npz"}
        inputs[f"choose@{name}"].write_text(choice_of(chosen, name).model_dump_json())
        save_arrays(inputs[f"logits@{name}"], {"shipped": given[name]})
    told = release(tmp_path, inputs, "board", "spare", "twin").agreements

    assert {name: (each.reference, each.models, each.flipped) for name, each in told.items()} == {
        "board": ("here", ("fp32", "int8_qdq"), 1),
        "spare": ("board", None, 1),
        "twin": ("here", None, 0),
    }
    (flip,) = told["board"].flips
    assert (flip.sample, flip.expected, flip.found, flip.margin, flip.found_margin) == (2, 0, 1, 0.5, 0.25)
