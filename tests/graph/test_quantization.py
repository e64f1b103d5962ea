from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.inspect import describe
from edgekd.graph.quantization import calibrate
from edgekd.graph.quantization.quantize import quantize
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator
from edgekd.graph.runtime import run_onnx

SCHEMES = {
    "qdq": Int8Qdq(use="int8_qdq"),
    "qdq percentile": Int8Qdq(use="int8_qdq", calibrate="percentile"),
    "qdq int8 activations": Int8Qdq(use="int8_qdq", activations="int8"),
    "qdq 7-bit weights": Int8Qdq(use="int8_qdq", reduce_range=True),
    "qoperator": Int8QOperator(use="int8_qoperator"),
    "qoperator uint8 weights": Int8QOperator(use="int8_qoperator", weights="uint8", per_channel=False),
}


def agreement(one, other):
    return np.mean(one.argmax(axis=1) == other.argmax(axis=1))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_keeps_the_answers_in_a_quarter_of_the_bytes_of_its_weights(name, fp32, digits, tmp_path):
    facts = quantize(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx")
    described = describe(tmp_path / "int8.onnx")

    assert agreement(run_onnx(fp32, digits.held_out), run_onnx(tmp_path / "int8.onnx", digits.held_out)) >= 0.97
    assert facts.calibration_images == 512
    assert described.parameters == describe(fp32).parameters
    assert described.size_bytes <= 1.5 * described.parameters + 8192
    assert (described.opset, described.ir_version) == (18, 8)
    assert described.inputs == describe(fp32).inputs
    assert described.outputs == describe(fp32).outputs


@pytest.mark.parametrize("name", ["qdq", "qoperator"])
def test_nothing_computes_in_float_between_the_input_and_the_logits(name, fp32, digits, tmp_path):
    runs = quantize(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx").execution

    assert runs.float_operators == {}
    assert runs.operators["QLinearConv"] == 3
    assert runs.operators["QGemm"] == 1
    assert runs.operators["QLinearAdd"] == 1


@pytest.mark.parametrize("name", ["qdq", "qoperator"])
def test_logits_are_not_rounded_to_256_values(name, fp32, digits, tmp_path):
    quantize(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx")

    assert len(np.unique(run_onnx(tmp_path / "int8.onnx", digits.held_out))) > 1000
    assert onnx.load(tmp_path / "int8.onnx").graph.node[-1].op_type in ("Gemm", "QGemm")


@pytest.mark.parametrize("name", ["qdq", "qdq percentile", "qoperator"])
def test_equal_inputs_give_equal_bytes_whatever_the_hash_seed(name, fp32, digits, tmp_path):
    script = """
import sys, numpy as np
from pathlib import Path
from edgekd.graph.quantization.quantize import quantize
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator
scheme = {"Int8Qdq": Int8Qdq, "Int8QOperator": Int8QOperator}[sys.argv[1]].model_validate_json(sys.argv[2])
quantize(scheme, Path(sys.argv[3]), np.load(sys.argv[4]), Path(sys.argv[5]))
assert "torch" not in sys.modules
"""
    scheme = SCHEMES[name]
    np.save(tmp_path / "images.npy", digits.train)
    quantize(scheme, fp32, digits.train, tmp_path / "here.onnx")
    there = tmp_path / "there.onnx"
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, type(scheme).__name__, scheme.model_dump_json()),
            *(fp32, tmp_path / "images.npy", there),
        ],
        env={"PYTHONHASHSEED": "11"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert hashlib.sha256(there.read_bytes()).digest() == hashlib.sha256((tmp_path / "here.onnx").read_bytes()).digest()


def test_weights_of_8_bits_are_said_to_saturate_without_vnni_and_those_of_7_do_not(fp32, digits, tmp_path):
    full = quantize(SCHEMES["qdq"], fp32, digits.train, tmp_path / "full.onnx")
    reduced = quantize(SCHEMES["qdq 7-bit weights"], fp32, digits.train, tmp_path / "reduced.onnx")
    weights = [
        numpy_helper.to_array(tensor).astype(int).reshape(-1)
        for tensor in onnx.load(tmp_path / "reduced.onnx").graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1
    ]

    assert full.saturates_without_vnni
    assert not reduced.saturates_without_vnni
    assert weights
    # VPMADDUBSW: two products of an activation (0..255) and a weight are added in 16 signed bits
    assert all(2 * 255 * np.abs(each).max() <= 2**15 - 1 for each in weights)


def convolution_model(path, weights, bias, *, groups=1, norm=False):
    """image (batch, C, 8, 8) -> convolution, ReLU, pooling and (batch, O, 1, 1) flattened as the logits."""
    channels = weights.shape[1] * groups
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["c"], pads=[1, 1, 1, 1], group=groups)]
    tensors = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    last = "c"
    if norm:
        nodes.append(helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]))
        for name, value in (("scale", 0.5), ("shift", 0.25), ("mean", 1.0), ("variance", 4.0)):
            tensors.append(numpy_helper.from_array(np.full(len(weights), value, np.float32), name))
        last = "n"
    nodes += [
        helper.make_node("Relu", [last], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(weights)])],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def test_a_tiny_scale_does_not_overflow_the_bias(tmp_path):
    # a channel that a folded batch norm all but switched off: weights of 1e-9, and a bias of 5
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32) * 0.1
    weights[1] *= 1e-8
    convolution_model(tmp_path / "m.onnx", weights, np.array([0, 5, 1, -1], np.float32))
    images = rng.normal(size=(64, 3, 8, 8)).astype(np.float32)

    for scheme in (SCHEMES["qdq"], SCHEMES["qoperator"]):
        quantize(scheme, tmp_path / "m.onnx", images, tmp_path / "int8.onnx")
        expected, actual = run_onnx(tmp_path / "m.onnx", images), run_onnx(tmp_path / "int8.onnx", images)
        np.testing.assert_allclose(actual[:, 1], 5, atol=0.05)
        np.testing.assert_allclose(actual, expected, atol=0.1)


def test_depthwise_channels_of_unequal_size_survive_per_channel_scales_only(tmp_path):
    rng = np.random.default_rng(0)
    sizes = np.array([1, 0.1, 0.01, 0.001]).reshape(4, 1, 1, 1)
    weights = (rng.uniform(0.5, 1, size=(4, 1, 3, 3)) * sizes).astype(np.float32)
    convolution_model(tmp_path / "m.onnx", weights, np.zeros(4, np.float32), groups=4)
    images = rng.uniform(0, 1, size=(64, 4, 8, 8)).astype(np.float32)

    def zeroed(scheme):
        quantize(scheme, tmp_path / "m.onnx", images, tmp_path / "int8.onnx")
        stored = map(numpy_helper.to_array, onnx.load(tmp_path / "int8.onnx").graph.initializer)
        (quantized,) = [array for array in stored if array.shape == (4, 1, 3, 3)]
        return [bool((channel == 0).all()) for channel in quantized]

    assert zeroed(Int8Qdq(use="int8_qdq")) == [False] * 4
    assert zeroed(Int8Qdq(use="int8_qdq", per_channel=False))[3]


def test_a_batch_norm_that_the_file_still_has_is_folded_first(tmp_path):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    convolution_model(tmp_path / "m.onnx", weights, np.ones(4, np.float32), norm=True)
    images = rng.normal(size=(64, 3, 8, 8)).astype(np.float32)
    facts = quantize(SCHEMES["qdq"], tmp_path / "m.onnx", images, tmp_path / "int8.onnx")

    assert facts.execution.float_operators == {}
    assert "BatchNormalization" not in describe(tmp_path / "int8.onnx").operators
    expected = run_onnx(tmp_path / "m.onnx", images)
    np.testing.assert_allclose(run_onnx(tmp_path / "int8.onnx", images), expected, atol=0.05 * expected.max())


def test_a_model_without_anything_to_quantize_is_refused(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Erf", ["image"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "m.onnx")

    with pytest.raises(StageError, match="quantized nothing"):
        quantize(SCHEMES["qdq"], tmp_path / "m.onnx", np.ones((8, 3), np.float32), tmp_path / "int8.onnx")


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_calibration_holds_one_batch_at_a_time_and_takes_a_ragged_last_one(method, fp32, digits, tmp_path, monkeypatch):
    held = []
    create = calibrate.create_calibrator

    def watched(*arguments, **options):
        calibrator = create(*arguments, **options)
        clear = calibrator.clear_collected_data

        def clear_and_tell():
            held.append(len(calibrator.intermediate_outputs))
            clear()

        calibrator.clear_collected_data = clear_and_tell
        return calibrator

    monkeypatch.setattr(calibrate, "create_calibrator", watched)
    scheme = Int8Qdq(use="int8_qdq", calibrate=method, calibration_images=37)
    facts = quantize(scheme, fp32, digits.train, tmp_path / "int8.onnx")

    assert facts.calibration_images == 37
    assert held == [1, 1, 1]  # 16 + 16 + 5


def test_the_range_is_what_was_seen_whatever_batch_it_was_in(fp32, digits, tmp_path):
    ranges = calibrate.activation_ranges(fp32, digits.train[:40], "minmax", ("Conv",))

    lowest, highest = ranges["image"].range_value
    assert (lowest, highest) == (digits.train[:40].min(), digits.train[:40].max())


def test_percentile_leaves_an_outlier_out(tmp_path):
    convolution_model(tmp_path / "m.onnx", np.ones((1, 1, 3, 3), np.float32), np.zeros(1, np.float32))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2000, 1, 8, 8)).astype(np.float32)
    images[1000, 0, 4, 4] = 100

    def highest(method):
        return calibrate.activation_ranges(tmp_path / "m.onnx", images, method, ("Conv",))["image"].range_value[1]

    assert highest("minmax") == 100
    assert 3 < highest("percentile") < 10


def test_calibration_images_come_from_everywhere_in_a_data_set_sorted_by_class():
    images = np.repeat(np.arange(10, dtype=np.float32), 100).reshape(-1, 1, 1, 1)
    chosen = calibrate.spread(images, 30).ravel()

    assert len(chosen) == 30
    assert set(chosen) == set(range(10))
    assert len(calibrate.spread(images, 5000)) == 1000


def test_a_fixed_batch_calibrates_on_full_batches_and_says_when_there_is_none(network, digits, tmp_path):
    from edgekd.config.export import ExportOptions
    from edgekd.graph.export import export_onnx

    export_onnx(network, digits.contract, tmp_path / "m.onnx", ExportOptions(batch=8))
    quantize(Int8Qdq(use="int8_qdq", calibration_images=20), tmp_path / "m.onnx", digits.train, tmp_path / "int8.onnx")
    answers = run_onnx(tmp_path / "m.onnx", digits.held_out), run_onnx(tmp_path / "int8.onnx", digits.held_out)
    assert agreement(*answers) > 0.95

    with pytest.raises(StageError, match="5 calibration images do not fill one batch of 8"):
        quantize(Int8Qdq(use="int8_qdq"), tmp_path / "m.onnx", digits.train[:5], tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        (Int8QOperator, {"activations": "int8"}, "five times slower"),
        (Int8Qdq, {"activations": "int8", "weights": "uint8"}, "no kernel"),
        (Int8Qdq, {"weights": "uint8"}, "per_channel: false"),
        (Int8Qdq, {"calibration_images": 0}, "greater than or equal to 1"),
    ],
)
def test_combinations_that_cannot_be_right_are_refused(scheme, options, message):
    with pytest.raises(ValueError, match=message):
        scheme.model_validate({"use": "x", **options})


def test_the_8_bit_files_load_and_agree_under_every_optimisation_level(fp32, digits, tmp_path):
    import onnxruntime

    quantize(SCHEMES["qdq"], fp32, digits.train, tmp_path / "int8.onnx")
    answers = {}
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])
        answers[level] = session.run(None, {"image": digits.held_out})[0]

    span = np.ptp(answers["ORT_ENABLE_ALL"])
    for level, logits in answers.items():
        # the tolerance of a bundle's golden answers is 1 %: it covers what rounding alone can do
        assert np.abs(logits - answers["ORT_ENABLE_ALL"]).max() < 0.005 * span, level
