"""Shapes of the digits pipeline, measured on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edgekd.config.export import ExportOptions
from edgekd.config.pipeline import Pipeline, load_pipeline
from edgekd.data.modalities.base import contract_for, feeds_for
from edgekd.errors import ConfigError
from edgekd.fit import pricing
from edgekd.fit.budget import over, unfit
from edgekd.fit.costs import Cost, Stand
from edgekd.fit.pricing import price
from edgekd.fit.shape import model_of
from edgekd.fit.untrained import export_untrained, untrained
from edgekd.harness.subject import Subject
from edgekd.progress import Silent
from edgekd.records.pricing import Priced, PricedFile, PricingRecord
from tests.command import DIGITS, QUICK_TARGET
from tests.harness.test_counting import counting

SPACE = "[{use: conv, width: [8, 16], depth: [1, 2], stages: 2, growth: 1}, {use: mlp, width: [16, 32]}]"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("targets") / "here.yaml"
    path.write_text(QUICK_TARGET)
    return path


def pipeline(target: Path, fit: str) -> Pipeline:
    return load_pipeline(DIGITS, assignments=[f"targets=[{target}]", f"fit={fit}"])


@pytest.fixture(scope="module")
def priced(target: Path) -> PricingRecord:
    fit = f"{{budget: {{p50_ms: 100, parameters: 4000}}, space: {SPACE}, candidates: [fp32, int8_weights, int8_qdq]}}"
    return price(pipeline(target, fit), Silent(), deadline=time.monotonic() + 300)


def test_every_shape_has_a_time_with_its_interval_for_every_candidate(priced: PricingRecord) -> None:
    assert len(priced.shapes) == 5
    for each in priced.shapes:
        assert [file.candidate for file in each.files["here"]] == ["fp32", "int8_weights", "int8_qdq"]
        for file in each.files["here"]:
            assert file.p50_s is not None
            assert file.interval_s is not None
            assert file.interval_s[0] <= file.p50_s <= file.interval_s[1]
            assert 0 < file.p50_s < 0.1
            assert not file.unfit
        assert not each.unfit
        assert each.parameters <= 4000


def test_the_weights_in_8_bits_are_the_smaller_file(priced: PricingRecord) -> None:
    for each in priced.shapes:
        fp32, weights = each.file("here", "fp32"), each.file("here", "int8_weights")
        assert fp32 is not None
        assert weights is not None
        assert weights.size_bytes < fp32.size_bytes


def test_what_is_not_measured_is_counted_with_its_reason(priced: PricingRecord) -> None:
    assert priced.skipped == {"more than 4,000 parameters": 1}, "conv of width 16 and depth 2"


def test_the_close_ones_have_more_loads(priced: PricingRecord) -> None:
    loads = {file.loads for each in priced.shapes for file in each.files["here"]}
    assert min(loads) >= pricing.LOADS
    assert max(loads) >= pricing.CLOSE_LOADS


def test_a_wider_network_of_the_same_depth_costs_more(priced: PricingRecord) -> None:
    costs = {each.shape["width"]: each.best("here") for each in priced.shapes if each.shape["use"] == "mlp"}
    assert costs[16] is not None
    assert costs[32] is not None
    assert {each.shape["width"]: each.macs for each in priced.shapes if each.shape["use"] == "mlp"} == {
        16: 64 * 16 + 16 * 10,
        32: 64 * 32 + 32 * 10,
    }


def test_a_record_is_read_back_as_it_was(priced: PricingRecord) -> None:
    assert PricingRecord.model_validate_json(priced.model_dump_json()) == priced


def test_a_deadline_that_has_passed_leaves_nothing(target: Path) -> None:
    with pytest.raises(ConfigError, match="no shape can be measured"):
        price(pipeline(target, "{budget: {p50_ms: 1}}"), Silent(), deadline=time.monotonic() - 1)


def test_a_space_of_shapes_that_are_too_large_is_refused_with_the_reasons(target: Path) -> None:
    with pytest.raises(ConfigError, match="1 more than 10 parameters") as refused:
        price(
            pipeline(target, "{budget: {parameters: 10}, space: {use: conv, width: 8}}"),
            Silent(),
            deadline=time.monotonic() + 300,
        )
    assert refused.value.where


def test_a_file_that_the_runtime_refuses_does_not_end_the_others(
    target: Path, priced: PricingRecord, tmp_path: Path
) -> None:
    pixels = np.arange(8 * 64, dtype=np.uint8).reshape(8, 8, 8, 1)
    contract = contract_for("image", pixels, tuple("01"))
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    export_untrained(untrained(model_of({"use": "mlp"}, tmp_path), contract, 0), contract, good, ExportOptions())
    bad.write_bytes(b"no model")
    stand = Stand(pipeline(target, "{budget: {p50_ms: 1}}").targets[0], feeds_for(contract, pixels))
    costs = stand.costs({"good": Subject(good), "bad": Subject(bad)}, 3, 0, Silent())
    assert costs["good"].p50_s is not None
    assert costs["good"].loads >= 3
    assert "does not take it" in costs["bad"].refused


def file(candidate: str, p50_s: float, unfit: str = "", size_bytes: int = 10) -> PricedFile:
    return PricedFile(candidate=candidate, size_bytes=size_bytes, p50_s=p50_s, unfit=unfit)


def test_a_shape_fits_where_one_of_its_files_does_on_every_target() -> None:
    assert unfit({"a": [file("fp32", 2e-6, "too slow"), file("int8", 1e-6)]}) == ""
    assert unfit({"a": [file("fp32", 1e-6)], "b": [file("fp32", 2e-6, "large"), file("int8", 1e-6, "slow")]}) == (
        "b: int8 slow"
    )


def test_the_best_file_is_the_cheapest_that_fits_and_of_equals_the_smaller() -> None:
    files = (file("a", 1e-6, "large"), file("b", 3e-6), file("c", 2e-6), file("d", 2e-6, size_bytes=9))
    best = Priced(shape={}, parameters=1, macs=1, files={"here": files}).best("here")
    assert best is not None
    assert best.candidate == "d"


def test_a_file_is_held_against_every_number_of_the_budget(target: Path) -> None:
    budget = pipeline(target, "{budget: {p50_ms: 0.01, model_bytes: 100}}").config.fit
    assert budget is not None
    limits = budget.budget.on("here")
    assert over(limits, 100, Cost(p50_s=1e-5)) == ""
    assert over(limits, 101, Cost(p50_s=1e-5)) == "101 bytes against 100"
    assert over(limits, 100, Cost(p50_s=1.01e-5)) == "10.1 µs against 10.0"
    assert over(limits, 100, Cost(refused="it does not run")) == "it does not run"
    assert over(limits, 100, Cost(instructions=10**9)) == "", "the time there means nothing"


def test_an_emulated_target_counts_instructions_and_is_held_against_them(tmp_path: Path) -> None:
    counting("cortex-a72")
    (tmp_path / "arm.yaml").write_text("name: arm\ndevice: {use: qemu, cpu: cortex-a72}\n")
    fit = "{budget: {instructions: 40000}, space: {use: mlp, width: [8, 512]}, candidates: [fp32]}"
    record = price(pipeline(tmp_path / "arm.yaml", fit), Silent(), deadline=time.monotonic() + 300)
    found = {each.shape["width"]: each for each in record.shapes}
    small, large = (found[width].file("arm", "fp32") for width in (8, 512))
    assert small is not None
    assert large is not None
    assert small.p50_s is None
    assert small.instructions is not None
    assert large.instructions is not None
    assert large.instructions - small.instructions > 504 * 74 / 8, "74 multiplications a unit, eight at once at most"
    assert not found[8].unfit
    assert found[512].unfit == f"arm: fp32 {large.instructions:,} instructions against 40,000"


@pytest.mark.parametrize("budget", ["{parameters: 100}", "{p50_ms: 100}"])
def test_ever_new_shapes_that_do_not_suit_come_to_an_end(
    target: Path, monkeypatch: pytest.MonkeyPatch, budget: str
) -> None:
    """Numbers of a range without a step: all too large, or all the same few networks."""
    monkeypatch.setattr(pricing, "FRUITLESS", 20)
    growths = "{use: conv, width: 8, depth: 1, stages: 2, aligned: 8, growth: {low: 1, high: 1.2}}"
    asked = pipeline(target, f"{{budget: {budget}, space: {growths}}}")
    if budget == "{p50_ms: 100}":
        record = price(asked, Silent(), deadline=time.monotonic() + 300)
        assert len(record.shapes) == 1
        assert record.skipped == {"that make the same network as another": 20}
    else:
        with pytest.raises(ConfigError, match="no shape can be measured: 20 more than 100 parameters"):
            price(asked, Silent(), deadline=time.monotonic() + 300)
