"""What a user sees of widths that do not suit the kernels, and what helps."""

from __future__ import annotations

import pytest

from tests.command import DIGITS, QUICK, Place, place_with, sets

ODD = (
    "student.model={use: conv, width: 6, growth: 1, stages: 2}",
    "quantize={candidates: [int8_weights, padded], max_accuracy_drop: 0.2}",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_with(
        tmp_path_factory.mktemp("widths"), DIGITS.read_text().replace("../targets/local.yaml", "here.yaml")
    )


def test_a_run_says_what_odd_widths_cost_and_that_zero_channels_save_it(place: Place) -> None:
    done = place.edgekd("run", "p.yaml", *sets(*QUICK, *ODD))
    assert done.returncode in (0, 3), done.stderr
    records = place.last_run()["records"]
    screened = {each["name"]: each for each in records["screening"]["here"]["candidates"]}
    assert screened["padded"]["refused"] == ""
    assert screened["padded"]["samples"] == screened["int8_weights"]["samples"]
    assert screened["padded"]["accuracy"] == screened["int8_weights"]["accuracy"]

    layout = records["layout"]["here"]
    if not layout["blocks"]:
        pytest.skip("this processor's kernels have no blocks of channels")
    assert {each["channels"] for each in layout["odd"]} == {6}
    for shown in (done.stdout, place.edgekd("show", "last").stdout):
        assert "in each inference on here: convolution 1 of 6" in shown
        assert f"student.model.aligned: {layout['multiple']}" in shown

    again = place.edgekd("plan", "p.yaml", *sets(*QUICK, *ODD, "student.model.aligned=8"))
    assert "options.model.options.aligned nothing -> 8" in again.stdout


@pytest.mark.parametrize(
    ("aligned", "told"), [("local", "expected a whole number"), ("1", "greater than or equal to 2, found 1")]
)
def test_aligned_takes_a_number_alone(place: Place, aligned: str, told: str) -> None:
    done = place.edgekd("plan", "p.yaml", *sets(f"student.model.aligned={aligned}"))
    assert done.returncode == 2
    assert told in done.stderr


def test_a_network_whose_widths_fit_gets_no_padded_candidate_and_no_advice(place: Place) -> None:
    fits = "student.model={use: conv, width: 6, growth: 1, stages: 2, aligned: 16}"
    done = place.edgekd("run", "p.yaml", *sets(*QUICK, *ODD, fits))
    assert done.returncode in (0, 3), done.stderr
    records = place.last_run()["records"]
    assert "not a multiple of 16 already" in records["candidate"]["padded"]["refused"]
    assert records["layout"]["here"]["multiple"] is None
    assert "changes of layout" not in done.stdout
