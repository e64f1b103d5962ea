from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.records.accuracy import Accuracy
from edgekd.records.bundle import Manifest, TargetEvidence
from edgekd.records.check import Outcome
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.regression import accuracy

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


@pytest.fixture
def previous(inputs: BundleInputs, tmp_path: Path) -> Manifest:
    targets = {"local": scored(evidence(), 91)}
    return build_bundle(replace(inputs, targets=targets), tmp_path / "previous")


def retrained(inputs: BundleInputs, folder: Path, targets: dict[str, TargetEvidence]) -> Manifest:
    """Of another file under the name that the targets take."""
    save_model(folder / "retrained.onnx", weights=np.ones((12, 2), np.float32))
    file = shipped_file(folder / "retrained.onnx", logits_of(inputs.golden_samples, np.ones((12, 2), np.float32)))
    (name,) = {each.model for each in targets.values()}
    return build_bundle(replace(inputs, models={name: file}, targets=targets), folder / "retrained")


def test_what_ships_is_compared_whatever_its_name_on_the_first_target_with_evidence(
    inputs: BundleInputs, previous: Manifest, tmp_path: Path
) -> None:
    unreached = evidence("int8_weights").model_copy(update={"accuracy": None})
    targets = {
        "off": unreached,
        "local": scored(evidence("int8_weights"), 85),
        "board": scored(evidence("int8_weights"), 10),
    }
    check = accuracy(retrained(inputs, tmp_path, targets), previous, 0.01)

    assert check.observed == pytest.approx(0.06)
    assert check.interval == pytest.approx((0.06 - 0.05 * 2**0.5, 0.06 + 0.05 * 2**0.5))
    assert check.outcome is Outcome.UNDECIDED
    assert "more test samples would decide" in check.why


def test_the_same_file_is_no_worse_than_itself(inputs: BundleInputs, previous: Manifest, tmp_path: Path) -> None:
    again = build_bundle(replace(inputs, targets={"board": scored(evidence(), 80)}), tmp_path / "again")
    check = accuracy(again, previous, 0.0)

    assert (check.observed, check.outcome) == (0.0, Outcome.PASS)


def test_what_cannot_be_compared_is_undecided(inputs: BundleInputs, previous: Manifest, tmp_path: Path) -> None:
    bare = evidence().model_copy(update={"accuracy": None})
    silent = build_bundle(replace(inputs, targets={"local": bare}), tmp_path / "silent")
    source = previous.source.model_copy(update={"data": {"train": "ef" * 32}})
    elsewhere = previous.model_copy(update={"source": source})

    for manifest, why in ((silent, "without evidence"), (elsewhere, "evaluated on different data")):
        check = accuracy(manifest, previous, 0.01)
        assert check.outcome is Outcome.UNDECIDED
        assert why in check.why
