from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.errors import StageError
from edgekd.harness.driver import measure, predict
from edgekd.harness.protocol import Preprocess
from edgekd.harness.subject import Subject
from edgekd.progress import Silent
from edgekd.records.arrays import load_arrays
from edgekd.records.latency import LatencyRecord, Speed
from tests.harness.conftest import convolutions, save_model
from edgekd.records.runtime import RuntimeSettings


@pytest.fixture(scope="module")
def measured(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[LatencyRecord, Path]:
    samples = tmp_path_factory.mktemp("raw") / "samples.npz"
    record = measure(
        Local(use="local"), RuntimeSettings(), Measuring(seconds=20), models, "big", 1, Silent(), samples=samples
    )
    return record, samples


def test_a_model_many_times_faster_is_called_faster(measured: tuple[LatencyRecord, Path]) -> None:
    record, _ = measured
    pair = record.comparison("small")
    assert pair.outcome is Speed.FASTER
    assert pair.interval is not None
    assert 0.001 < pair.interval[0] <= pair.ratio <= pair.interval[1] < 0.3
    assert pair.speedup_interval == pytest.approx((1 / pair.interval[1], 1 / pair.interval[0]))
    assert record.decided
    assert record.would_decide is None


def test_every_model_is_loaded_many_times_in_more_than_one_process(measured: tuple[LatencyRecord, Path]) -> None:
    for model in measured[0].models:
        assert model.processes >= 2
        assert model.loads >= 4
        assert model.cold_start_s is not None
        assert model.cold_start_s.count >= 5
        assert model.load_spread is not None


def test_the_costs_of_a_model_are_plausible(measured: tuple[LatencyRecord, Path], models: dict[str, Path]) -> None:
    for model in measured[0].models:
        assert model.size_bytes == models[model.name].stat().st_size
        assert model.peak_rss_bytes is not None
        assert model.runtime_rss_bytes is not None
        assert 10e6 < model.runtime_rss_bytes < model.peak_rss_bytes < 500e6
        assert model.cold_start_s is not None
        assert model.cold_start_s.value > model.session_load_s.value > 0
        median = model.percentile(0.5)
        assert median is not None
        assert 1e-6 < median.value_s < 0.1


def test_the_raw_samples_hold_every_inference_with_its_block(measured: tuple[LatencyRecord, Path]) -> None:
    record, path = measured
    raw = load_arrays(path)
    blocks = raw["blocks"]
    assert blocks[:, 6].sum() == len(raw["samples"])
    assert raw["models"].tolist() == ["small", "big"]
    assert (raw["samples"] > 0).all()
    for number, model in enumerate(record.models):
        mine = blocks[blocks[:, 3] == number]
        assert mine[:, 6].sum() == model.inferences == model.samples + model.warmup + model.settling
        assert (raw["loads"][:, 2] == number).sum() == model.loads


def test_blocks_of_the_models_are_interleaved_in_random_order(measured: tuple[LatencyRecord, Path]) -> None:
    blocks = load_arrays(measured[1])["blocks"]
    firsts = [
        turn[np.argmin(turn[:, 4]), 3]
        for key in {tuple(row[:3]) for row in blocks.tolist()}
        if len(turn := blocks[(blocks[:, :3] == key).all(axis=1)]) == 2
    ]
    assert len(firsts) > 20
    assert 0.2 < np.mean(firsts) < 0.8


def test_a_bundle_can_be_timed_end_to_end(models: dict[str, Path], local: Local, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((3, 14, 14, 1), np.uint8))
    pixels = Subject(models["small"], inputs=tmp_path / "images.npy", preprocess=Preprocess(mean=(0.5,), std=(0.3,)))
    subjects = {"model": models["small"], "end to end": pixels}
    record = measure(local, RuntimeSettings(), Measuring(seconds=2), subjects, "model", 0, Silent())
    assert record.comparison("end to end").ratio > 1


def test_fed_inputs_are_cycled_through(local: Local, tmp_path: Path, models: dict[str, Path]) -> None:
    inputs = np.random.default_rng(0).normal(size=(5, 1, 14, 14)).astype(np.float32)
    subjects = {"small": models["small"]}
    record = measure(local, RuntimeSettings(), Measuring(seconds=1), subjects, "small", 0, Silent(), inputs=inputs)
    assert record.model("small").inferences > 100
    assert record.comparisons == ()


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_predictions_are_the_runtimes_own_for_any_batch_dimension(
    batch: int | str, local: Local, tmp_path: Path
) -> None:
    path = convolutions(tmp_path / "m.onnx", 8, 3, 14, batch)
    inputs = np.random.default_rng(0).normal(size=(10, 1, 14, 14)).astype(np.float32)
    found = predict(local, RuntimeSettings(), {"m": path}, inputs, Silent())["m"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    size = batch if isinstance(batch, int) else 1
    padded = np.concatenate([inputs, np.repeat(inputs[-1:], -len(inputs) % size, axis=0)])
    wanted = np.concatenate([session.run(None, {"x": padded[n : n + size]})[0] for n in range(0, len(padded), size)])
    assert found.dtype == np.float32
    assert np.array_equal(found, wanted[:10])


def test_several_models_predict_in_one_go_and_larger_batches_change_no_answer(
    local: Local, models: dict[str, Path], tmp_path: Path
) -> None:
    other = convolutions(tmp_path / "other.onnx", 4, 2, 14)
    inputs = np.random.default_rng(0).normal(size=(33, 1, 14, 14)).astype(np.float32)
    both = {"small": models["small"], "other": other}
    single = predict(local, RuntimeSettings(), both, inputs, Silent())
    batched = predict(local, RuntimeSettings(), both, inputs, Silent(), batch=16)
    assert single["small"].shape == (33, 8)
    assert single["other"].shape == (33, 4)
    for name in both:
        assert np.allclose(single[name], batched[name], atol=1e-5)


def test_a_prediction_that_is_not_finite_names_the_model_and_the_input(local: Local, tmp_path: Path) -> None:
    path = save_model(tmp_path / "log.onnx", [helper.make_node("Log", ["x"], ["y"])])
    inputs = np.ones((5, 4), np.float32)
    inputs[3, 1] = -1
    with pytest.raises(StageError, match="m returns NaN or infinity for 1 inputs, first for number 3"):
        predict(local, RuntimeSettings(), {"m": path}, inputs, Silent())
