from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.errors import ConfigError
from edgekd.harness.scoring import paired
from edgekd.records.accuracy import Accuracy
from edgekd.records.bundle import Manifest, TargetEvidence
from edgekd.records.check import Check, Outcome
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.regression import Shown, accuracy, same_samples, shown
from edgekd.release.verify import read_manifest, verify

from .conftest import evaluation, evidence, logits_of, save_model, shipped_file


def scored(target: TargetEvidence, right: int) -> TargetEvidence:
    """The same with so many of 100 samples right, within 5 points."""
    told = evaluation(target.model)
    value = right / 100
    model = told.models[target.model].model_copy(
        update={
            "accuracy": Accuracy(correct=right, total=100, per_class_correct=(right, 0), per_class_total=(100, 0)),
            "accuracy_interval": (value - 0.05, value + 0.05),
        }
    )
    changed = told.model_copy(update={"models": {**told.models, target.model: model}})
    return target.model_copy(update={"accuracy": changed})


def first(count: int, besides: tuple[int, ...] = ()) -> NDArray[np.bool_]:
    """Of 100 samples the first ones are right, but for some."""
    right = np.arange(100) < count
    right[list(besides)] = False
    return right


def evaluated_on(inputs: BundleInputs, test: str | None, learned_from: str = "ab") -> BundleInputs:
    data = {"train": learned_from * 32, "validation": learned_from * 32} | ({} if test is None else {"test": test * 32})
    return replace(inputs, source=inputs.source.model_copy(update={"data": data}))


@pytest.fixture
def previous(inputs: BundleInputs, tmp_path: Path) -> Path:
    targets = {"local": scored(evidence(), 91)}
    changed = replace(evaluated_on(inputs, "77"), targets=targets, right={"local": first(91)})
    build_bundle(changed, tmp_path / "previous")
    return tmp_path / "previous"


def retrained(
    inputs: BundleInputs, folder: Path, targets: dict[str, TargetEvidence], right: dict[str, NDArray[np.bool_]]
) -> Path:
    """Of another file under the name that the targets take."""
    save_model(folder / "retrained.onnx", weights=np.ones((12, 2), np.float32))
    file = shipped_file(folder / "retrained.onnx", logits_of(inputs.golden_samples, np.ones((12, 2), np.float32)))
    (name,) = {each.model for each in targets.values()}
    build_bundle(replace(inputs, models={name: file}, targets=targets, right=right), folder / "retrained")
    return folder / "retrained"


def told(folder: Path, target: str = "local") -> Shown:
    found = shown(folder, read_manifest(folder), target)
    assert found is not None
    return found


def judged(new: Shown, old: Shown, allowed: float) -> Check:
    pair = None
    if new.right is not None and old.right is not None and same_samples(new, old):
        pair = paired("model", "baseline", new.right, old.right)
    return accuracy(new, old, allowed, pair)


def test_a_model_that_learned_from_more_is_compared_sample_by_sample_on_the_same_test_samples(
    inputs: BundleInputs, previous: Path, tmp_path: Path
) -> None:
    more = evaluated_on(inputs, "77", learned_from="cd")
    new = told(
        retrained(more, tmp_path, {"local": scored(evidence("int8"), 90)}, {"local": first(92, besides=(3, 4))}),
    )
    check = judged(new, told(previous), 0.06)

    assert check.observed == pytest.approx(0.01)  # two lost, one gained
    expected = paired("model", "baseline", first(92, besides=(3, 4)), first(91)).drop_interval
    assert check.interval == expected
    assert check.outcome is Outcome.PASS
    unpaired = accuracy(new, told(previous), 0.06, None)
    assert unpaired.interval is not None
    assert unpaired.interval[1] > expected[1], "which knows less"


def test_the_model_of_the_target_is_compared_whichever_target_its_evidence_is_of(
    inputs: BundleInputs, previous: Path, tmp_path: Path
) -> None:
    unreached = evidence("int8").model_copy(update={"accuracy": None})
    targets = {"off": unreached, "local": scored(evidence("int8"), 85), "board": scored(evidence("int8"), 10)}
    folder = retrained(evaluated_on(inputs, "77"), tmp_path, targets, {})
    for target, right in (("off", 85), ("local", 85), ("board", 10), ("elsewhere", 85)):
        assert told(folder, target).evaluation.accuracy.correct == right, target

    check = accuracy(told(folder, "off"), told(previous), 0.01, None)
    assert check.observed == pytest.approx(0.06)
    assert check.interval == pytest.approx((0.06 - 0.05 * 2**0.5, 0.06 + 0.05 * 2**0.5))
    assert check.outcome is Outcome.UNDECIDED
    assert "more test samples would decide" in check.why


def test_the_same_file_is_no_worse_than_itself(inputs: BundleInputs, previous: Path, tmp_path: Path) -> None:
    again = replace(evaluated_on(inputs, "88"), targets={"board": scored(evidence(), 80)})
    build_bundle(again, tmp_path / "again")
    check = judged(told(tmp_path / "again"), told(previous), 0.0)
    assert (check.observed, check.outcome) == (0.0, Outcome.PASS)


def test_what_cannot_be_compared_is_undecided(inputs: BundleInputs, previous: Path, tmp_path: Path) -> None:
    bare = evidence().model_copy(update={"accuracy": None})
    silent = build_bundle(replace(inputs, targets={"local": bare}), tmp_path / "silent")
    assert shown(tmp_path / "silent", silent, "local") is None
    new = told(retrained(evaluated_on(inputs, "88"), tmp_path, {"local": scored(evidence("int8"), 91)}, {}))
    for other, why in ((None, "without evidence"), (told(previous), "evaluated on different test samples")):
        check = accuracy(new, other, 0.01, None)
        assert check.outcome is Outcome.UNDECIDED
        assert why in check.why


def test_a_bundle_of_before_the_test_samples_were_named_is_compared_where_both_learned_from_the_same(
    inputs: BundleInputs, previous: Path, tmp_path: Path
) -> None:
    old = told(previous)._replace(data={"train": "ab" * 32, "validation": "ab" * 32}, right=None)
    same = told(retrained(evaluated_on(inputs, "77"), tmp_path, {"local": scored(evidence("int8"), 91)}, {}))
    assert judged(same, old, 0.1).outcome is Outcome.PASS
    other = same._replace(data={**same.data, "train": "cd" * 32})
    assert judged(other, old, 0.1).outcome is Outcome.UNDECIDED
    assert judged(same._replace(classes=("dog", "cat")), old, 0.1).outcome is Outcome.UNDECIDED


def test_the_answers_in_a_bundle_are_listed_verified_and_those_that_were_counted(previous: Path) -> None:
    manifest: Manifest = read_manifest(previous)
    assert manifest.targets["local"].right == "right/local.npy"
    assert np.load(previous / "right/local.npy").nbytes == 13, "a bit each"
    assert not verify(previous)
    np.save(previous / "right/local.npy", np.packbits(first(100)))
    assert verify(previous) == ["right/local.npy: its content was changed"]
    with pytest.raises(ConfigError, match="has 100 samples right, the manifest counts 91"):
        told(previous)
    np.save(previous / "right/local.npy", np.zeros(5, np.uint8))
    with pytest.raises(ConfigError, match="not a bit for each of 100 test samples"):
        told(previous)
    (previous / "right/local.npy").unlink()
    assert verify(previous) == ["right/local.npy: missing"]
