from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError, StageError
from edgekd.graph.export import export_onnx
from edgekd.graph.inspect import describe
from edgekd.graph.quantization import static
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator, StaticInt8
from edgekd.graph.runtime import run_onnx

from ..conftest import Digits, contract_of, random_feeds
from .conftest import agreement, convolution_model, save_graph, stored

SCHEMES: dict[str, StaticInt8] = {
    "qdq": Int8Qdq(use="int8_qdq"),
    "qdq percentile": Int8Qdq(use="int8_qdq", calibrate="percentile"),
    "qdq entropy": Int8Qdq(use="int8_qdq", calibrate="entropy"),
    "qdq minmax": Int8Qdq(use="int8_qdq", calibrate="minmax"),
    "qdq int8 activations": Int8Qdq(use="int8_qdq", activations="int8"),
    "qdq 7-bit weights": Int8Qdq(use="int8_qdq", reduce_range=True),
    "qoperator": Int8QOperator(use="int8_qoperator"),
    "qoperator 7-bit weights": Int8QOperator(use="int8_qoperator", reduce_range=True),
    "qoperator uint8 weights": Int8QOperator(use="int8_qoperator", weights="uint8", per_channel=False),
}
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def at_level(path: Path, feeds: Feeds, level: str) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return cast("NDArray[np.float32]", session.run(None, feeds)[0])


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_keeps_the_answers_in_a_quarter_of_the_bytes_of_its_weights(
    name: str, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    made = make_candidate(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx")

    # x86 without VNNI adds pairs of products in 16 bits, which those of 8-bit weights overflow
    bound = 0.9 if made.saturates_without_vnni else 0.97
    assert agreement(run_onnx(fp32, digits.held_out), run_onnx(tmp_path / "int8.onnx", digits.held_out)) >= bound
    assert made.calibration_samples == len(digits.train["image"])
    assert made.facts.parameters == describe(fp32).parameters
    assert made.facts.size_bytes <= 1.5 * made.facts.parameters + 8192
    assert (made.facts.opset, made.facts.ir_version) == (18, 8)
    assert made.facts.inputs == describe(fp32).inputs
    assert made.facts.outputs == describe(fp32).outputs


@pytest.mark.parametrize("name", [name for name in SCHEMES if name.startswith("qdq")])
def test_in_exact_arithmetic_8_bits_keep_the_answers_on_every_machine(
    name: str, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    make_candidate(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx")

    # without optimisation no 8-bit kernel takes part: what is rounded is computed with in float
    exact = at_level(tmp_path / "int8.onnx", digits.held_out, "ORT_DISABLE_ALL")
    assert agreement(run_onnx(fp32, digits.held_out), exact) >= 0.97


@pytest.mark.parametrize("name", ["qdq", "qoperator"])
def test_nothing_computes_in_float_between_the_input_and_the_logits(
    name: str, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    runs = make_candidate(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx").execution

    assert runs.float_operators == {}
    assert runs.operators["QLinearConv"] == 3
    assert runs.operators["QGemm"] == 1
    assert runs.operators["QLinearAdd"] == 1


@pytest.mark.parametrize("name", ["qdq", "qoperator"])
def test_logits_are_not_rounded_to_256_values(name: str, fp32: Path, digits: Digits, tmp_path: Path) -> None:
    make_candidate(SCHEMES[name], fp32, digits.train, tmp_path / "int8.onnx")

    assert len(np.unique(run_onnx(tmp_path / "int8.onnx", digits.held_out))) > 1000
    assert onnx.load(tmp_path / "int8.onnx").graph.node[-1].op_type in ("Gemm", "QGemm")


def test_logits_that_no_matrix_product_gives_stay_in_8_bits(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    convolution_model(tmp_path / "m.onnx", weights, np.ones(4, np.float32))
    feeds = {"image": np.random.default_rng(1).normal(size=(64, 3, 8, 8)).astype(np.float32)}

    for name in ("qdq", "qoperator"):
        make_candidate(SCHEMES[name], tmp_path / "m.onnx", feeds, tmp_path / "int8.onnx")
        assert onnx.load(tmp_path / "int8.onnx").graph.node[-1].op_type == "DequantizeLinear"


def test_weights_of_8_bits_are_said_to_saturate_without_vnni_and_those_of_7_do_not(
    fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    full = make_candidate(SCHEMES["qdq"], fp32, digits.train, tmp_path / "full.onnx")
    reduced = make_candidate(SCHEMES["qdq 7-bit weights"], fp32, digits.train, tmp_path / "reduced.onnx")
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


def test_a_tiny_scale_does_not_overflow_the_bias(tmp_path: Path) -> None:
    # a channel that a folded batch norm all but switched off: weights of 1e-9, and a bias of 5
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32) * 0.1
    weights[1] *= 1e-8
    convolution_model(tmp_path / "m.onnx", weights, np.array([0, 5, 1, -1], np.float32))
    feeds = {"image": rng.normal(size=(64, 3, 8, 8)).astype(np.float32)}

    for scheme in (SCHEMES["qdq"], SCHEMES["qoperator"]):
        make_candidate(scheme, tmp_path / "m.onnx", feeds, tmp_path / "int8.onnx")
        expected, actual = run_onnx(tmp_path / "m.onnx", feeds), run_onnx(tmp_path / "int8.onnx", feeds)
        np.testing.assert_allclose(actual[:, 1], 5, atol=0.05)
        np.testing.assert_allclose(actual, expected, atol=0.1)


def test_depthwise_channels_of_unequal_size_survive_per_channel_scales_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([1, 0.1, 0.01, 0.001]).reshape(4, 1, 1, 1)
    weights = (rng.uniform(0.5, 1, size=(4, 1, 3, 3)) * sizes).astype(np.float32)
    convolution_model(tmp_path / "m.onnx", weights, np.zeros(4, np.float32), groups=4)
    feeds = {"image": rng.uniform(0, 1, size=(64, 4, 8, 8)).astype(np.float32)}

    def zeroed(scheme: Int8Qdq) -> list[bool]:
        make_candidate(scheme, tmp_path / "m.onnx", feeds, tmp_path / "int8.onnx")
        (quantized,) = [array for array in stored(tmp_path / "int8.onnx").values() if array.shape == (4, 1, 3, 3)]
        return [bool((channel == 0).all()) for channel in quantized]

    assert zeroed(Int8Qdq(use="int8_qdq")) == [False] * 4
    assert zeroed(Int8Qdq(use="int8_qdq", per_channel=False))[3]


def test_a_batch_norm_that_the_file_still_has_is_folded_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    convolution_model(tmp_path / "m.onnx", weights, np.ones(4, np.float32), norm=True)
    feeds = {"image": rng.normal(size=(64, 3, 8, 8)).astype(np.float32)}
    made = make_candidate(SCHEMES["qdq 7-bit weights"], tmp_path / "m.onnx", feeds, tmp_path / "int8.onnx")

    assert made.execution.float_operators == {}
    assert "BatchNormalization" not in made.facts.operators
    expected = run_onnx(tmp_path / "m.onnx", feeds)
    np.testing.assert_allclose(run_onnx(tmp_path / "int8.onnx", feeds), expected, atol=0.05 * expected.max())


def test_a_model_without_anything_to_quantize_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Erf", ["image"], ["logits"])]
    save_graph(tmp_path / "m.onnx", nodes, {}, {"image": ("batch", 3)}, ("batch", 3))

    with pytest.raises(StageError, match="int8_qdq quantized nothing"):
        make_candidate(SCHEMES["qdq"], tmp_path / "m.onnx", {"image": np.ones((8, 3), np.float32)}, tmp_path / "o.onnx")


def grouped_transposed_convolution(path: Path) -> tuple[Path, Feeds]:
    """What the quantizer has no scales by channel for; and what it is fed."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.ConvTranspose2d(8, 8, 2, groups=4), nn.Flatten(), nn.Linear(200, 10))
    contract = contract_of(10, x=(8, 4, 4))
    export_onnx(network, contract, path, ExportOptions())
    return path, random_feeds(contract, 32)


def test_what_the_quantizer_raises_is_told_in_one_line_with_the_scheme(tmp_path: Path) -> None:
    fp32, feeds = grouped_transposed_convolution(tmp_path / "m.onnx")

    with pytest.raises(StageError, match=r"^int8_qdq: .*quantizer fails on the model \(ValueError: oper") as caught:
        make_candidate(SCHEMES["qdq"], fp32, feeds, tmp_path / "o.onnx")
    assert "\n" not in str(caught.value)
    assert "per_channel: false" in str(caught.value.hint)
    make_candidate(Int8Qdq(use="int8_qdq", per_channel=False), fp32, feeds, tmp_path / "o.onnx")  # as the hint says


@pytest.mark.parametrize("step", ["quant_pre_process", "activation_ranges", "QDQQuantizer"])
def test_a_failure_of_every_step_is_told_in_one_line(
    step: str, fp32: Path, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("first\nsecond")

    monkeypatch.setattr(static, step, fail)
    with pytest.raises(StageError, match=r"^int8_qdq: .*\(KeyError: [^\n]+\)$"):
        make_candidate(SCHEMES["qdq"], fp32, digits.train, tmp_path / "o.onnx")


@pytest.mark.parametrize("name", ["qdq", "qoperator"])
def test_what_is_no_model_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"hello")

    with pytest.raises(ConfigError, match="not an ONNX model"):
        make_candidate(SCHEMES[name], tmp_path / "m.onnx", {"x": np.ones((8, 3), np.float32)}, tmp_path / "o.onnx")


def test_a_fixed_batch_calibrates_on_any_number_of_samples(network: nn.Module, digits: Digits, tmp_path: Path) -> None:
    export_onnx(network, digits.contract, tmp_path / "m.onnx", ExportOptions(batch=8))
    scheme = SCHEMES["qdq 7-bit weights"]
    for samples in (5, 20):
        few = {"image": digits.train["image"][:samples]}
        made = make_candidate(scheme, tmp_path / "m.onnx", few, tmp_path / "int8.onnx")
        answers = run_onnx(tmp_path / "m.onnx", digits.held_out), run_onnx(tmp_path / "int8.onnx", digits.held_out)
        assert made.calibration_samples == samples
        assert agreement(*answers) > 0.9


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        (Int8QOperator, {"activations": "int8"}, "five times slower"),
        (Int8Qdq, {"activations": "int8", "weights": "uint8"}, "no kernel"),
        (Int8Qdq, {"weights": "uint8"}, "per_channel: false"),
        (Int8Qdq, {"calibration_samples": 0}, "greater than or equal to 1"),
    ],
)
def test_combinations_that_cannot_be_right_are_refused(
    scheme: type[StaticInt8], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        scheme.model_validate({"use": "x", **options})


def test_the_8_bit_files_load_and_agree_under_every_optimisation_level(
    fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    # 7-bit weights: those of 8 bits overflow in the optimised form where there is no VNNI
    make_candidate(SCHEMES["qdq 7-bit weights"], fp32, digits.train, tmp_path / "int8.onnx")
    answers = {level: at_level(tmp_path / "int8.onnx", digits.held_out, level) for level in LEVELS}

    span = np.ptp(answers["ORT_ENABLE_ALL"])
    for level, logits in answers.items():
        # the tolerance of a bundle's golden answers is 1 %: it covers what rounding alone can do
        assert np.abs(logits - answers["ORT_ENABLE_ALL"]).max() < 0.005 * span, level
