"""A candidate that collapses in 8 bits is trained in 8 bits, as a user asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import DIGITS, QUICK, place_with, sets

BAD = "use: int8_qdq, reduce_range: true, calibrate: percentile, percentile: 90"  # cuts off what counts
NAME = "int8_qdq_percentile_reduced"


@pytest.mark.timeout(900)
def test_finetuning_brings_back_what_8_bits_lost_and_the_file_has_what_was_simulated(tmp_path: Path) -> None:
    text = DIGITS.read_text().replace("../targets/local.yaml", "here.yaml")
    place = place_with(tmp_path, text)
    changes = sets(
        *QUICK,
        "student.model={use: ds_cnn, width: 12}",
        "distill.epochs=20",
        "distill.losses=[{use: cross_entropy}, {use: kd, weight: 0.01}]",  # the teacher knows little
        "distill.control=true",
        "quantize.repair=none",
        "quantize.max_accuracy_drop=0.05",
        f"quantize.candidates=[{{{BAD}}}, {{{BAD}, finetune: 3}}]",
    )

    done = place.edgekd("run", "p.yaml", *changes, timeout_s=600)
    assert done.returncode == 0, done.stderr

    record = place.last_run()
    tuned = record["records"]["finetuning"][f"{NAME}_finetuned"]
    screened = {each["name"]: each["accuracy"] for each in record["records"]["screening"]["here"]["candidates"]}
    assert tuned["before"] / tuned["samples"] == pytest.approx(screened[NAME])
    assert screened[f"{NAME}_finetuned"] > screened[NAME] + 0.05
    assert abs(tuned["file"] - tuned["after"]) <= 0.0005 * tuned["samples"]
    assert tuned["file"] / tuned["samples"] == pytest.approx(screened[f"{NAME}_finetuned"])
    assert tuned["losses"] == ["cross_entropy", "kd"]
    assert tuned["learned_from"] == ["teacher"]
    assert "trained in 8 bits for 3 epochs" in done.stdout

    # it ships, so the control that it is held against was trained so too: by labels, as before
    assert record["records"]["choice"]["here"]["chosen"] == f"{NAME}_finetuned"
    control = record["records"]["finetuning"]["control.here"]
    assert (control["losses"], control["learned_from"]) == (["cross_entropy"], [])
    assert len(control["history"]["epochs"]) == 3

    again = place.edgekd("run", "p.yaml", *changes)
    assert f"finetune@{NAME}_finetuned: cached" in again.stderr + again.stdout
    assert "finetune@control.here: cached" in again.stderr + again.stdout
