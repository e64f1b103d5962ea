from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest

from edgekd.config.export import ExportOptions
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization import calibrate
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq

from ..conftest import Digits, contract_of
from .conftest import Halves, convolution_model


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_calibration_holds_one_batch_at_a_time_and_takes_a_ragged_last_one(
    method: Literal["minmax", "percentile"], fp32: Path, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    create = calibrate.create_calibrator  # type: ignore[attr-defined]  # imported there to be used

    def watched(*arguments: Any, **options: Any) -> Any:
        calibrator = create(*arguments, **options)
        clear = calibrator.clear_collected_data

        def clear_and_tell() -> None:
            held.append(len(calibrator.intermediate_outputs))
            clear()

        calibrator.clear_collected_data = clear_and_tell
        return calibrator

    monkeypatch.setattr(calibrate, "create_calibrator", watched)
    few = {"image": digits.train["image"][:37]}
    made = make_candidate(Int8Qdq(use="int8_qdq", calibrate=method), fp32, few, tmp_path / "int8.onnx")

    assert made.calibration_samples == 37
    assert held == [1, 1, 1]  # 16 + 16 + 5


def test_the_range_is_what_was_seen_whatever_batch_it_was_in(fp32: Path, digits: Digits) -> None:
    few = digits.train["image"][:40]
    ranges = calibrate.activation_ranges(fp32, {"image": few}, "minmax", ("Conv",))

    lowest, highest = ranges["image"].range_value
    assert (lowest, highest) == (few.min(), few.max())


@pytest.mark.parametrize("batch", ["dynamic", 8])
def test_every_input_gets_its_own_range_from_the_same_samples(batch: Literal["dynamic"] | int, tmp_path: Path) -> None:
    contract = contract_of(upper=(1, 4, 8), lower=(32,))
    export_onnx(Halves(), contract, tmp_path / "m.onnx", ExportOptions(batch=batch))
    rng = np.random.default_rng(0)
    lower, upper = rng.uniform(3, 4, (40, 32)), rng.uniform(-2, -1, (40, 1, 4, 8))
    feeds = {"lower": lower.astype(np.float32), "upper": upper.astype(np.float32)}  # not in the order of the model
    ranges = calibrate.activation_ranges(tmp_path / "m.onnx", feeds, "minmax", ("Conv", "Gemm"))

    for name, array in feeds.items():
        assert ranges[name].range_value == (array.min(), array.max())


def test_percentile_leaves_an_outlier_out(tmp_path: Path) -> None:
    convolution_model(tmp_path / "m.onnx", np.ones((1, 1, 3, 3), np.float32), np.zeros(1, np.float32))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2000, 1, 8, 8)).astype(np.float32)
    images[1000, 0, 4, 4] = 100

    def highest(method: Literal["minmax", "percentile"]) -> float:
        ranges = calibrate.activation_ranges(tmp_path / "m.onnx", {"image": images}, method, ("Conv",))
        return cast("float", ranges["image"].range_value[1])

    assert highest("minmax") == 100
    assert 3 < highest("percentile") < 10


def test_calibration_samples_come_from_everywhere_in_a_data_set_sorted_by_class() -> None:
    samples = np.repeat(np.arange(10, dtype=np.float32), 100).reshape(-1, 1, 1, 1)
    chosen = calibrate.spread(samples, 30).ravel()

    assert len(chosen) == 30
    assert set(chosen) == set(range(10))
    assert len(calibrate.spread(samples, 5000)) == 1000
    assert calibrate.spread(samples, 0).shape == (0, 1, 1, 1)
