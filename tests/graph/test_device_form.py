"""Files that take pixels as they are: the same answers as with normalised floats, padding included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import SCHEMES
from edgekd.data.modalities.base import feeds_for, shipped_contract
from edgekd.errors import StageError
from edgekd.graph.device_form import DeviceForm, takes_bytes
from edgekd.graph.inspect import count_parameters, load_model
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.runtime import run_onnx
from edgekd.records.contract import InputSpec, ModelContract

from .conftest import Digits, fitting
from .quantization.conftest import save_graph

GENERATOR = np.random.default_rng(0)
FLOAT = ("fp32", "int8_weights")  # they compute in float
MEANS = {"grey": [0.83], "colour": [0.83, 0.1, 0.55]}
STDS = {"grey": [0.21], "colour": [0.21, 0.3, 0.05]}
PADDED: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [2, 2]}


def contract_of(mean: list[float], std: list[float], side: int = 9, classes: int = 6) -> ModelContract:
    spec = InputSpec(name="image", shape=(len(mean), side, side), preprocessing={"mean": [*mean], "std": [*std]})
    return ModelContract(modality="image", inputs=(spec,), classes=tuple(map(str, range(classes))))


def form_of(contract: ModelContract, output: str = "logits") -> DeviceForm:
    options = ExportOptions.model_validate({"input": "raw", "output": output})
    return DeviceForm(contract, shipped_contract(contract, options))


def images_of(contract: ModelContract, count: int = 40) -> NDArray[np.uint8]:
    """Every value of a byte, so that what is calibrated on them has the whole range."""
    channels, height, width = contract.shape
    return GENERATOR.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def convolution(path: Path, channels: int, *, groups: int = 1, **attributes: Any) -> Path:
    """image -> convolution, ReLU, pooling: logits (N, 6)."""
    weights = GENERATOR.normal(0, 0.3, (6, channels // groups, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["c"], group=groups, **attributes),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    tensors = {"w": weights, "b": np.linspace(-0.5, 0.5, 6, dtype=np.float32)}
    return save_graph(path, nodes, tensors, {"image": ("batch", channels, 9, 9)}, ("batch", 6))


def expected_of(path: Path, images: NDArray[np.uint8], contract: ModelContract, stride: int, pad: int) -> Any:
    """The same in loops over NumPy, from pixels; float64 (N, 6)."""
    stored = {each.name: onnx.numpy_helper.to_array(each).astype(float) for each in onnx.load(path).graph.initializer}
    mean, std = (np.array(contract.inputs[0].preprocessing[key]) for key in ("mean", "std"))
    inputs = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
    inputs = np.pad(inputs, ((0, 0), (0, 0), (pad, pad), (pad, pad)))  # normalised zeros
    side = (inputs.shape[2] - 3) // stride + 1
    found = np.zeros((len(images), 6, side, side))
    for row in range(side):
        for column in range(side):
            part = inputs[:, :, row * stride : row * stride + 3, column * stride : column * stride + 3]
            found[:, :, row, column] = np.einsum("nchw,ochw->no", part, stored["w"]) + stored["b"]
    return np.maximum(found, 0).mean(axis=(2, 3))


def scheme_of(name: str) -> Scheme:
    scheme = component_class(SCHEMES, name).model_validate(fitting(name))
    assert isinstance(scheme, Scheme)
    return scheme


def both(scheme: Scheme, path: Path, contract: ModelContract, images: NDArray[np.uint8]) -> tuple[Any, Any, list[str]]:
    """The answers of the file that takes floats, of the one that takes pixels, and the operators of that one."""
    feeds, form = feeds_for(contract, images), form_of(contract)
    one, raw = path.with_name("float.onnx"), path.with_name("raw.onnx")
    session = make_candidate(scheme, path, feeds, one).session
    made = make_candidate(scheme, path, feeds, raw, form=form)
    assert made.facts.inputs[0].dtype == "uint8"
    assert takes_bytes(raw.read_bytes())
    assert not takes_bytes(one.read_bytes())
    answers = run_onnx(raw, feeds_for(form.shipped, images), session)
    return run_onnx(one, feeds, session), answers, [node.op_type for node in onnx.load(raw).graph.node]


@pytest.mark.parametrize("color", MEANS)
@pytest.mark.parametrize(("stride", "pad"), [(2, 1), (1, 0)])
def test_a_mean_far_from_zero_leaves_padding_what_it_was(tmp_path: Path, color: str, stride: int, pad: int) -> None:
    contract = contract_of(MEANS[color], STDS[color])
    images = images_of(contract)
    fp32 = convolution(tmp_path / "m.onnx", len(MEANS[color]), pads=[pad] * 4, strides=[stride] * 2)
    _, found, _ = both(scheme_of("fp32"), fp32, contract, images)
    expected = expected_of(fp32, images, contract, stride, pad)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("color", MEANS)
@pytest.mark.parametrize("name", FLOAT)
def test_what_computes_in_float_answers_as_with_floats(tmp_path: Path, name: str, color: str) -> None:
    contract = contract_of(MEANS[color], STDS[color])
    fp32 = convolution(tmp_path / "m.onnx", len(MEANS[color]), **PADDED)
    expected, found, _ = both(scheme_of(name), fp32, contract, images_of(contract))
    # weights that took a factor by channel before they were rounded to 8 bits are rounded otherwise
    share = 0.02 if name == "int8_weights" and len(STDS[color]) > 1 else 1e-5
    np.testing.assert_allclose(found, expected, atol=share * np.ptp(expected))


@pytest.mark.parametrize("name", ["int8_qdq", "int8_qoperator"])
def test_pixels_are_the_8_bit_input_itself(tmp_path: Path, name: str) -> None:
    contract = contract_of(MEANS["grey"], STDS["grey"])
    fp32 = convolution(tmp_path / "m.onnx", 1, **PADDED)
    expected, found, operators = both(scheme_of(name), fp32, contract, images_of(contract))
    assert operators[0] in ("DequantizeLinear", "QLinearConv")  # nothing before it
    assert not {"Cast", "Sub"} & set(operators)
    # the scale is 1 / (255 std) to the last bit or the one before: a sum may round to the neighbouring 8-bit value
    np.testing.assert_allclose(found, expected, atol=0.01 * np.ptp(expected))


@pytest.mark.parametrize("name", ["int8_qdq", "int8_qoperator"])
def test_channels_of_several_means_are_normalised_before_8_bits_where_padding_needs_it(
    tmp_path: Path, name: str
) -> None:
    contract = contract_of(MEANS["colour"], STDS["colour"])
    fp32 = convolution(tmp_path / "m.onnx", 3, **PADDED)
    expected, found, operators = both(scheme_of(name), fp32, contract, images_of(contract))
    assert operators[:2] == ["Transpose", "Cast"]
    assert "QuantizeLinear" in operators
    np.testing.assert_allclose(found, expected, atol=0.01 * np.ptp(expected))


def test_signed_activations_are_made_of_normalised_pixels(tmp_path: Path) -> None:
    contract = contract_of(MEANS["grey"], STDS["grey"])
    fp32 = convolution(tmp_path / "m.onnx", 1, **PADDED)
    scheme = Int8Qdq(use="int8_qdq", activations="int8")
    expected, found, operators = both(scheme, fp32, contract, images_of(contract))
    assert operators[0] == "Cast"
    np.testing.assert_allclose(found, expected, atol=0.01 * np.ptp(expected))


def test_only_a_convolution_that_pads_needs_the_mean_subtracted(tmp_path: Path) -> None:
    contract = contract_of(MEANS["colour"], STDS["colour"])
    operators = {
        pad: both(
            scheme_of("fp32"), convolution(tmp_path / "m.onnx", 3, pads=[pad] * 4), contract, images_of(contract)
        )[2]
        for pad in (0, 1)
    }
    assert operators[0][:3] == ["Transpose", "Cast", "Conv"]
    assert operators[1][:4] == ["Transpose", "Cast", "Sub", "Conv"]


def test_each_group_of_a_convolution_takes_the_factor_of_its_own_channels(tmp_path: Path) -> None:
    contract = contract_of(MEANS["colour"], STDS["colour"])
    fp32 = convolution(tmp_path / "m.onnx", 3, groups=3, pads=[1, 1, 1, 1])
    expected, found, operators = both(scheme_of("fp32"), fp32, contract, images_of(contract))
    assert "Mul" not in operators
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("color", MEANS)
def test_a_dense_first_layer_takes_what_is_the_same_for_all_its_inputs(
    tmp_path: Path, color: str, transposed: int
) -> None:
    contract = contract_of(MEANS[color], STDS[color])
    inputs = len(MEANS[color]) * 81
    weights = GENERATOR.normal(0, 0.1, (6, inputs) if transposed else (inputs, 6)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["logits"], transB=transposed),
    ]
    tensors = {"w": weights, "b": np.linspace(-0.5, 0.5, 6, dtype=np.float32)}
    shape = ("batch", len(MEANS[color]), 9, 9)
    fp32 = save_graph(tmp_path / "m.onnx", nodes, tensors, {"image": shape}, ("batch", 6))
    expected, found, operators = both(scheme_of("fp32"), fp32, contract, images_of(contract))
    assert operators == (
        ["Cast", "Flatten", "Gemm"] if color == "grey" else ["Transpose", "Cast", "Sub", "Mul", "Flatten", "Gemm"]
    )
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))


def tied(logits: NDArray[np.float32], scheme: str) -> NDArray[np.bool_]:
    """Where the two largest are equal, of float16 but for what rounding to it may change."""
    second, first = np.sort(logits, axis=1)[:, -2:].T
    return np.asarray(first - second <= (2e-4 * np.ptp(logits) if scheme == "fp16_weights" else 0))


@pytest.mark.parametrize("name", SCHEMES.members)
def test_no_scheme_changes_a_prediction_of_a_network_that_learned(
    name: str, digits: Digits, fp32: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(fp32.read_bytes())
    expected, found, _ = both(scheme_of(name), path, digits.contract, digits.images)
    changed = expected.argmax(axis=1) != found.argmax(axis=1)
    assert not changed[~tied(expected, name)].any(), f"{changed.sum()} of {len(expected)}"
    assert np.abs(expected - found).max() <= (1e-6 if name in FLOAT else 0.01) * np.ptp(expected)


@pytest.mark.parametrize("name", SCHEMES.members)
def test_the_label_is_that_of_the_largest_logit_and_the_logits_stay_first(
    name: str, digits: Digits, fp32: Path, tmp_path: Path
) -> None:
    form = form_of(digits.contract, output="label")
    made = make_candidate(scheme_of(name), fp32, digits.train, tmp_path / "m.onnx", form=form)
    assert [(each.name, each.dtype) for each in made.facts.outputs] == [("logits", "float32"), ("label", "int64")]
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    logits, labels = session.run(None, feeds_for(form.shipped, digits.images))
    np.testing.assert_array_equal(labels, logits.argmax(axis=1))


def test_the_first_of_equal_logits_gives_the_label(tmp_path: Path) -> None:
    contract = contract_of([0.5], [0.2], side=1, classes=2)
    nodes = [helper.make_node("Flatten", ["image"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["logits"])]
    same = {"w": np.ones((1, 2), np.float32)}
    fp32 = save_graph(tmp_path / "m.onnx", nodes, same, {"image": (1, 1, 1, 1)}, (1, 2))
    form = form_of(contract, output="label")
    make_candidate(scheme_of("fp32"), fp32, {}, tmp_path / "label.onnx", form=form)
    session = onnxruntime.InferenceSession(tmp_path / "label.onnx", providers=["CPUExecutionProvider"])
    (label,) = session.run(["label"], feeds_for(form.shipped, np.zeros((1, 1, 1, 1), np.uint8)))
    assert label.tolist() == [0]


def test_normalising_is_no_parameter_and_the_same_file_comes_again(digits: Digits, fp32: Path, tmp_path: Path) -> None:
    form = form_of(digits.contract)
    content = fp32.read_bytes()
    assert form.apply(content) == form.apply(content) != content
    (tmp_path / "m.onnx").write_bytes(form.apply(content))
    assert count_parameters(load_model(tmp_path / "m.onnx")) == count_parameters(load_model(fp32))


def test_without_a_form_the_file_stays_what_it_was(digits: Digits, fp32: Path) -> None:
    options = ExportOptions(input="float")
    form = DeviceForm(digits.contract, shipped_contract(digits.contract, options))
    assert form.ranges == {}
    assert form.apply(fp32.read_bytes()) == fp32.read_bytes()


def test_a_file_of_two_inputs_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["image", "other"], ["s"]), helper.make_node("Flatten", ["s"], ["logits"])]
    shapes: dict[str, tuple[int | str, ...]] = {"image": ("batch", 1, 1, 6), "other": ("batch", 1, 1, 6)}
    fp32 = save_graph(tmp_path / "m.onnx", nodes, {}, shapes, ("batch", 6))
    with pytest.raises(StageError, match="2 inputs"):
        form_of(contract_of([0.5], [0.2])).apply(fp32.read_bytes())


def test_what_reads_its_input_in_several_places_is_normalised_before_them(tmp_path: Path) -> None:
    contract = contract_of(MEANS["grey"], STDS["grey"])
    nodes = [
        helper.make_node("Mul", ["image", "image"], ["square"]),
        helper.make_node("Add", ["image", "square"], ["s"]),
        helper.make_node("Flatten", ["s"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["logits"]),
    ]
    tensors = {"w": GENERATOR.normal(0, 0.1, (81, 6)).astype(np.float32)}
    fp32 = save_graph(tmp_path / "m.onnx", nodes, tensors, {"image": (4, 1, 9, 9)}, (4, 6))
    expected, found, operators = both(scheme_of("fp32"), fp32, contract, images_of(contract, 8))
    assert operators[:3] == ["Cast", "Sub", "Mul"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))
    assert onnx.load(tmp_path / "raw.onnx").graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
