from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgekd.agent import subject as agent_subject
from edgekd.config.registry import MODALITIES
from edgekd.config.target import Measuring
from edgekd.data.modalities.base import source_of
from edgekd.devices.local import Local, LocalWorkspace
from edgekd.errors import ConfigError, StageError
from edgekd.harness.answers import predict
from edgekd.harness.conversation import agent_zip
from edgekd.harness.driver import measure
from edgekd.harness.subject import Preprocessing, Subject, job_models
from edgekd.progress import Silent
from edgekd.records.arrays import load_arrays
from edgekd.records.latency import LatencyRecord, Speed
from edgekd.records.runtime import RuntimeSettings
from tests.harness.conftest import convolutions, save_model


@pytest.fixture(scope="module")
def measured(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[LatencyRecord, Path]:
    samples = tmp_path_factory.mktemp("raw") / "samples.npz"
    record = measure(
        Local(use="local"),
        RuntimeSettings(),
        Measuring(seconds=20),
        models,
        [("small", "big")],
        1,
        Silent(),
        samples=samples,
    )
    return record, samples


def test_a_model_many_times_faster_is_called_faster(measured: tuple[LatencyRecord, Path]) -> None:
    record, _ = measured
    pair = record.comparison("small", "big")
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
    assert raw["inferences"].sum(axis=0).tolist() == [model.inferences for model in record.models]
    blocks = raw["blocks"]
    assert blocks[:, 6].sum() == len(raw["samples"])
    assert raw["models"].tolist() == ["small", "big"]
    assert raw["samples"].astype(np.int64).min() > 0
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


HALVED = """
import numpy as np

SCALE = np.float32(2)

def feed(samples, specs):
    (spec,) = specs
    shape = (len(samples), *spec["shape"])
    return {spec["name"]: samples.astype(np.float32).reshape(shape) / SCALE - np.float32(spec["preprocessing"]["mean"])}
"""


def end_to_end(model: Path, folder: Path, program: str = HALVED, name: str = "x") -> Subject:
    """The model from raw uint8 samples to the label, with a program that stands for a bundle's."""
    np.save(folder / "samples.npy", np.random.default_rng(0).integers(0, 256, (3, 14, 14, 1), dtype=np.uint8))
    (folder / "inputs.py").write_text(program)
    spec = {"name": name, "dtype": "float32", "shape": [1, 14, 14], "preprocessing": {"mean": 0.5}}
    preprocessing = Preprocessing(folder / "inputs.py", (spec,))
    return Subject(model, inputs=folder / "samples.npy", preprocess=preprocessing)


def test_a_bundle_can_be_timed_end_to_end(models: dict[str, Path], local: Local, tmp_path: Path) -> None:
    subjects = {"model": Subject(models["small"]), "end to end": end_to_end(models["small"], tmp_path)}
    pairs = [("end to end", "model")]
    record = measure(local, RuntimeSettings(), Measuring(seconds=2), subjects, pairs, 0, Silent())
    assert record.comparison("end to end", "model").ratio > 1
    assert not list(tmp_path.rglob("*.pyc")), "nothing is left beside the program"


def test_fed_inputs_are_cycled_through(local: Local, tmp_path: Path, models: dict[str, Path]) -> None:
    inputs = np.random.default_rng(0).normal(size=(5, 1, 14, 14)).astype(np.float32)
    subjects = {"small": models["small"]}
    record = measure(local, RuntimeSettings(), Measuring(seconds=1), subjects, (), 0, Silent(), feeds={"x": inputs})
    assert record.model("small").inferences > 100
    assert record.comparisons == ()


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_predictions_are_the_runtimes_own_for_any_batch_dimension(
    batch: int | str, local: Local, tmp_path: Path
) -> None:
    path = convolutions(tmp_path / "m.onnx", 8, 3, 14, batch)
    inputs = np.random.default_rng(0).normal(size=(10, 1, 14, 14)).astype(np.float32)
    found = predict(local, RuntimeSettings(), {"m": path}, {"x": inputs}, Silent())["m"]
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
    single = predict(local, RuntimeSettings(), both, {"x": inputs}, Silent())
    batched = predict(local, RuntimeSettings(), both, {"x": inputs}, Silent(), batch=16)
    assert single["small"].shape == (33, 8)
    assert single["other"].shape == (33, 4)
    for name in both:
        assert np.allclose(single[name], batched[name], atol=1e-5)


def test_a_prediction_that_is_not_finite_names_the_model_and_the_input(local: Local, tmp_path: Path) -> None:
    path = save_model(tmp_path / "log.onnx", [helper.make_node("Log", ["x"], ["y"])])
    inputs = np.ones((5, 4), np.float32)
    inputs[3, 1] = -1
    with pytest.raises(StageError, match="m returns NaN or infinity for 1 inputs, first for number 3"):
        predict(local, RuntimeSettings(), {"m": path}, {"x": inputs}, Silent())


def test_what_is_timed_end_to_end_is_the_answer_to_the_raw_sample(models: dict[str, Path], tmp_path: Path) -> None:
    subject = end_to_end(models["small"], tmp_path, name="an input by another name")
    (model,) = job_models(LocalWorkspace(tmp_path), {"m": subject}, None)
    session = onnxruntime.InferenceSession(models["small"], providers=["CPUExecutionProvider"])
    found, samples = agent_subject.Subject(session, model.model_dump(mode="json")).call()
    raw = np.load(tmp_path / "samples.npy")
    wanted = session.run(None, {"x": raw.astype(np.float32).reshape(3, 1, 14, 14) / 2 - np.float32(0.5)})[0]
    assert [found(sample) for sample in samples] == wanted.argmax(axis=1).tolist()


@pytest.mark.parametrize("name", MODALITIES.members)
def test_the_agent_takes_the_program_of_every_kind_of_input(name: str, tmp_path: Path) -> None:
    """In a process that finds no edgekd, as on a device."""
    (tmp_path / "agent.pyz").write_bytes(agent_zip())
    program = "from agent.preprocess import preparation; preparation({'program': SOURCE, 'specs': []}, ['x'])"
    start = (
        f"import sys; sys.path.insert(0, 'agent.pyz'); sys.modules['edgekd'] = None; SOURCE = {str(source_of(name))!r}"
    )
    subprocess.run([sys.executable, "-c", f"{start}; {program}"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import nowhere", "m: its preprocessing fails: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = 1", "m: its preprocessing fails: AttributeError"),
        ("def feed(samples, specs):\n    raise ValueError('no such sample')", "ValueError: no such sample"),
    ],
)
def test_preprocessing_that_fails_is_told_with_the_model(
    program: str, says: str, models: dict[str, Path], local: Local, tmp_path: Path
) -> None:
    subject = end_to_end(models["small"], tmp_path, program)
    with pytest.raises(StageError, match=says):
        measure(local, RuntimeSettings(), Measuring(seconds=1), {"m": subject}, (), 0, Silent())


def sums(path: Path, names: Sequence[str] = ("a", "b")) -> Path:
    """y = a + 2 b."""
    float_rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in (*names, "y")]
    nodes = [
        helper.make_node("Add", [names[1], names[1]], ["twice"]),
        helper.make_node("Add", [names[0], "twice"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", float_rows[:2], float_rows[2:])
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def two_feeds(rows: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(rows, 4)).astype(np.float32) for name in ("b", "a")}


def test_several_inputs_are_fed_by_name(local: Local, tmp_path: Path) -> None:
    feeds = two_feeds(7)
    path = sums(tmp_path / "m.onnx")
    found = predict(local, RuntimeSettings(), {"m": path}, feeds, Silent(), batch=3)["m"]
    np.testing.assert_allclose(found, feeds["a"] + 2 * feeds["b"], rtol=1e-6)
    record = measure(local, RuntimeSettings(), Measuring(seconds=1), {"m": path}, (), 0, Silent(), feeds=feeds)
    assert record.model("m").inferences > 100


def test_feeds_of_other_names_are_refused_where_there_are_several(local: Local, tmp_path: Path) -> None:
    other = sums(tmp_path / "m.onnx", ("a", "c"))
    with pytest.raises(ConfigError, match=r"m: the model takes \['a', 'c'\], the file holds \['a', 'b'\]"):
        predict(local, RuntimeSettings(), {"m": other}, two_feeds(7), Silent())


def test_a_model_that_reads_some_of_the_feeds_is_given_those(local: Local, tmp_path: Path) -> None:
    feeds = {**two_feeds(7), "c": np.zeros((7, 9), np.float32)}
    path = sums(tmp_path / "m.onnx")
    found = predict(local, RuntimeSettings(), {"m": path}, feeds, Silent())["m"]
    np.testing.assert_allclose(found, feeds["a"] + 2 * feeds["b"], rtol=1e-6)


def test_an_input_of_any_length_is_measured_at_that_of_the_feeds(local: Local, tmp_path: Path) -> None:
    """A product with 512 columns takes far longer for 256 rows than for one."""
    product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = {"w": np.ones((512, 512), np.float32)}
    path = save_model(tmp_path / "m.onnx", product, weights, shape=("n", "length", 512))
    p50_s = {
        length: measure(
            local,
            RuntimeSettings(),
            Measuring(seconds=1),
            {"m": path},
            (),
            0,
            Silent(),
            feeds={"x": np.ones((4, length, 512), np.float32)},
        )
        .model("m")
        .percentiles[0]
        .value_s
        for length in (1, 256)
    }
    assert p50_s[256] > 10 * p50_s[1]


def test_one_input_may_be_called_otherwise(local: Local, models: dict[str, Path]) -> None:
    """A teacher's file comes from elsewhere."""
    inputs = np.random.default_rng(0).normal(size=(3, 1, 14, 14)).astype(np.float32)
    named, unnamed = (
        predict(local, RuntimeSettings(), {"m": models["small"]}, {name: inputs}, Silent())["m"] for name in "xz"
    )
    np.testing.assert_array_equal(named, unnamed)


def test_a_bounded_prediction_answers_the_same_rows_for_every_model(local: Local, models: dict[str, Path]) -> None:
    inputs = np.random.default_rng(0).normal(size=(100_000, 1, 14, 14)).astype(np.float32)
    small, other = models["small"], models["small"]
    begun = time.monotonic()
    found = predict(local, RuntimeSettings(), {"a": small, "b": other}, {"x": inputs}, Silent(), seconds=0.4)
    assert time.monotonic() - begun < 20, "all of them would take far longer"
    assert 1 <= len(found["a"]) == len(found["b"]) < len(inputs)
    np.testing.assert_array_equal(found["a"], found["b"])
    whole = predict(local, RuntimeSettings(), {"a": small}, {"x": inputs[: len(found["a"])]}, Silent())["a"]
    np.testing.assert_array_equal(found["a"], whole)


@pytest.mark.parametrize("seconds", [1e-9, 60.0])
def test_a_bound_means_one_batch_at_least_and_all_rows_at_most(
    seconds: float, local: Local, models: dict[str, Path]
) -> None:
    feeds = {"x": np.zeros((50, 1, 14, 14), np.float32)}
    both = {"a": models["small"], "b": models["small"]}
    found = predict(local, RuntimeSettings(), both, feeds, Silent(), batch=8, seconds=seconds)
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys("ab", 8 if seconds < 1 else 50)


class Stopping(Silent):
    """A run that is to stop once the agent has said so many things."""

    def __init__(self, events: int) -> None:
        self.left = events

    def stop_point(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("events", [1, 4])
def test_work_stops_at_whatever_the_agent_says_next(events: int, local: Local, models: dict[str, Path]) -> None:
    small = {"m": models["small"]}
    feeds = {"x": np.zeros((200_000, 1, 14, 14), np.float32)}
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        measure(local, RuntimeSettings(), Measuring(seconds=60), small, (), 0, Stopping(events))
    with pytest.raises(KeyboardInterrupt):
        predict(local, RuntimeSettings(), small, feeds, Stopping(events))
    assert time.monotonic() - begun < 20
