from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError, StageError
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import run_onnx
from edgekd.graph.slim import slim

from ..conftest import Digits
from .conftest import Trained, convolution_model, save_graph, stored

SCHEME = Int8Weights(use="int8_weights")
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def normal(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def int8_of(path: Path) -> dict[str, NDArray[np.int8]]:
    return {name: array for name, array in stored(path).items() if array.dtype == np.int8}


def restored(path: Path) -> Path:
    """The model of a file with its int8 weights as the float ones that they stand for, by numpy alone."""
    model = onnx.load(path)
    tensors = stored(path)
    kept = []
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            kept.append(node)
            continue
        weights, scale = (tensors[name] for name in node.input)
        axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
        shape = [-1 if each == axis else 1 for each in range(weights.ndim)]
        model.graph.initializer.append(
            numpy_helper.from_array(weights.astype(np.float32) * scale.reshape(shape), node.output[0])
        )
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, path.with_name("restored.onnx"))
    return path.with_name("restored.onnx")


def run_at(path: Path, feeds: Feeds, level: str, session: Mapping[str, str]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    for key, value in session.items():
        options.add_session_config_entry(key, value)
    loaded = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return cast("NDArray[np.float32]", loaded.run(None, feeds)[0])


# operator, its attributes, the shapes of weights and input, and along which axis the output channels lie
PRODUCTS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], tuple[int, ...], int]] = {
    "convolution": ("Conv", {}, (6, 4, 3, 3), (2, 4, 5, 5), 0),
    "depthwise convolution": ("Conv", {"group": 8}, (8, 1, 3, 3), (2, 8, 5, 5), 0),
    "convolution of a signal": ("Conv", {}, (6, 4, 9), (2, 4, 20), 0),
    "transposed convolution": ("ConvTranspose", {}, (4, 6, 3, 3), (2, 4, 5, 5), 1),
    "linear": ("Gemm", {"transB": 1}, (6, 20), (2, 20), 0),
    "gemm": ("Gemm", {}, (20, 6), (2, 20), 1),
    "matrix product": ("MatMul", {}, (20, 6), (2, 7, 20), 1),
    "matrix products": ("MatMul", {}, (3, 20, 6), (2, 3, 7, 20), 2),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_scales_lie_along_the_output_channels_of_every_product(name: str, tmp_path: Path) -> None:
    operator, attributes, shape, fed, axis = PRODUCTS[name]
    sizes = 10.0 ** -np.arange(shape[axis]).reshape([-1 if each == axis else 1 for each in range(len(shape))])
    weights = (normal(*shape) * sizes).astype(np.float32)
    nodes = [
        helper.make_node(operator, ["x", "w"], ["y"], **attributes),
        helper.make_node("Flatten", ["y"], ["logits"]),
    ]
    save_graph(tmp_path / "m.onnx", nodes, {"w": weights}, {"x": fed}, (2, None))
    made = make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")

    whole, scale = stored(tmp_path / "int8.onnx").values()
    assert (whole.dtype, whole.shape) == (np.int8, shape)  # type: ignore[comparison-overlap]  # a dtype equals its type
    assert (scale.dtype, scale.shape) == (np.float32, (shape[axis],))  # type: ignore[comparison-overlap]  # a dtype equals its type
    others = tuple(each for each in range(len(shape)) if each != axis)
    np.testing.assert_allclose(scale, np.abs(weights).max(axis=others) / 127, rtol=1e-6)
    assert made.execution.in_float
    assert "DequantizeLinear" not in made.execution.operators
    assert not made.saturates_without_vnni
    feeds = {"x": normal(*fed)}
    given = run_onnx(tmp_path / "int8.onnx", feeds, made.session)
    np.testing.assert_allclose(given, run_onnx(restored(tmp_path / "int8.onnx"), feeds), rtol=1e-4, atol=1e-6)


def test_a_model_keeps_its_operators_and_biases_and_gets_short_names(
    fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    made = make_candidate(SCHEME, fp32, {}, tmp_path / "int8.onnx")
    before, after = stored(fp32), stored(tmp_path / "int8.onnx")

    operators = dict(made.facts.operators)
    assert operators.pop("DequantizeLinear") == 4
    assert operators == describe(fp32).operators
    vectors = {array.tobytes() for array in after.values() if array.ndim == 1}
    assert all(array.tobytes() in vectors for array in before.values() if array.ndim == 1)
    assert {array.dtype for array in after.values()} == {np.dtype(np.float32), np.dtype(np.int8)}
    assert max(map(len, after)) <= 2
    # 4,026 parameters: their bytes, 58 scales, biases, and the graph itself
    assert made.facts.size_bytes < 4300


def test_a_folded_file_computes_what_its_weights_say_under_every_optimisation_level(
    trained: Trained, tmp_path: Path
) -> None:
    made = make_candidate(SCHEME, trained.fp32, {}, tmp_path / "int8.onnx")
    expected = run_onnx(restored(tmp_path / "int8.onnx"), trained.held_out)

    for level in LEVELS:
        given = run_at(tmp_path / "int8.onnx", trained.held_out, level, made.session)
        np.testing.assert_allclose(given, expected, atol=cast("float", 1e-5 * np.ptp(expected)), err_msg=level)


@pytest.mark.parametrize(("by_channel", "level"), list(product([True, False], LEVELS)))
def test_this_runtime_folds_int8_weights_before_a_reshape_with_their_signs(
    by_channel: bool, level: str, tmp_path: Path
) -> None:
    # a release of 2026 turned negative ones into 0 there (onnxruntime 28491)
    whole = np.random.default_rng(0).integers(-127, 128, (4, 6, 5)).astype(np.int8)
    scale = np.float32([0.01, 0.02, 0.03, 0.04]) if by_channel else np.float32(0.01)  # type: ignore[arg-type]  # an array
    axis: dict[str, Any] = {"axis": 0} if by_channel else {}
    nodes = [
        helper.make_node("DequantizeLinear", ["whole", "scale"], ["w"], **axis),
        helper.make_node("Reshape", ["w", "shape"], ["r"]),
        helper.make_node("MatMul", ["x", "r"], ["logits"]),
    ]
    tensors: dict[str, NDArray[Any]] = {"whole": whole, "scale": np.asarray(scale), "shape": np.array([24, 5])}
    save_graph(tmp_path / "m.onnx", nodes, tensors, {"x": ("batch", 24)}, ("batch", 5))
    feeds = {"x": normal(3, 24)}

    expected = feeds["x"] @ (whole * np.reshape(scale, (-1, 1, 1))).reshape(24, 5).astype(np.float32)
    given = run_at(tmp_path / "m.onnx", feeds, level, SCHEME.session)
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_weights_that_two_products_share_are_stored_once(tmp_path: Path) -> None:
    weights = normal(12, 12)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], transB=1),
        helper.make_node("MatMul", ["h", "w"], ["logits"]),
    ]
    save_graph(tmp_path / "m.onnx", nodes, {"w": weights}, {"x": ("batch", 12)}, ("batch", 12))
    made = make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")

    assert made.facts.operators == {"DequantizeLinear": 1, "Gemm": 1, "MatMul": 1}
    feeds = {"x": normal(5, 12)}
    given = run_onnx(tmp_path / "int8.onnx", feeds, made.session)
    np.testing.assert_allclose(given, run_onnx(restored(tmp_path / "int8.onnx"), feeds), atol=1e-4)


@pytest.mark.parametrize(
    "reader",
    [
        helper.make_node("Add", ["x", "w"], ["other"]),
        helper.make_node("MatMul", ["w", "x"], ["other"]),
        helper.make_node("Transpose", ["w"], ["other"]),
    ],
    ids=lambda node: node.op_type,
)
def test_a_constant_that_anything_else_reads_too_stays_as_it_is(reader: onnx.NodeProto, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["p"]),
        reader,
        helper.make_node("Add", ["p", "other"], ["logits"]),
    ]
    w, v = normal(12, 12), normal(2, 12, 12)[1]
    save_graph(tmp_path / "m.onnx", nodes, {"v": v, "w": w}, {"x": (12, 12)}, (12, 12))
    made = make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")

    assert made.facts.operators["DequantizeLinear"] == 1
    left = [array for array in stored(tmp_path / "int8.onnx").values() if array.dtype == np.float32 and array.ndim == 2]
    np.testing.assert_array_equal(left, [w])


def test_weights_that_a_branch_reads_are_found_there(tmp_path: Path) -> None:
    def branch(name: str, weights: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["x", weights], [name])
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 12])
        return helper.make_graph([node], name, [], [output])

    branches: dict[str, Any] = {"then_branch": branch("then", "v"), "else_branch": branch("else", "w")}
    nodes = [helper.make_node("If", ["which"], ["logits"], **branches)]
    tensors: dict[str, NDArray[Any]] = {"v": normal(12, 12), "w": normal(2, 12, 12)[1], "which": np.array(False)}
    save_graph(tmp_path / "m.onnx", nodes, tensors, {"x": ("batch", 12)}, ("batch", 12))
    made = make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")

    assert made.facts.operators == {"DequantizeLinear": 2, "If": 1}
    feeds = {"x": normal(5, 12)}
    given = run_onnx(tmp_path / "int8.onnx", feeds, made.session)
    np.testing.assert_allclose(given, feeds["x"] @ tensors["w"], atol=0.1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes=st.integers(1, 24), off=st.integers(-3, 3), trans=st.booleans())
def test_a_file_never_grows_and_what_would_not_shrink_is_refused(
    classes: int, off: int, trans: bool, tmp_path: Path
) -> None:
    features = max(1, round((60 / classes + 4) / 3) + off)  # three bytes a weight saved, four a scale and 60 spent
    shape = (classes, features) if trans else (features, classes)
    nodes = [helper.make_node("Gemm", ["x", "w"], ["logits"], transB=int(trans))]
    save_graph(tmp_path / "m.onnx", nodes, {"w": normal(*shape)}, {"x": (1, features)}, (1, classes))
    refused, size = "", None
    try:
        size = make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx").facts.size_bytes
    except StageError as error:
        refused = str(error)

    if size is None:
        assert "no weights that 8 bits would make smaller" in refused
        assert 3 * features * classes <= 4 * classes + 65
    else:
        assert size < slim_size(tmp_path / "m.onnx")


def slim_size(path: Path) -> int:
    """The bytes of the model without what no device needs."""
    model = onnx.load(path)
    slim(model)
    return cast("int", model.ByteSize())


def test_a_batch_norm_that_the_file_still_has_folds_at_load(tmp_path: Path) -> None:
    convolution_model(tmp_path / "m.onnx", normal(4, 3, 3, 3), np.ones(4, np.float32), norm=True)
    made = make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")

    assert not {"BatchNormalization", "DequantizeLinear"} & set(made.execution.operators)
    feeds = {"image": normal(16, 3, 8, 8)}
    expected = run_onnx(tmp_path / "m.onnx", feeds)
    given = run_onnx(tmp_path / "int8.onnx", feeds, made.session)
    np.testing.assert_allclose(given, expected, atol=0.02 * expected.max())


class WithoutItsSession(Int8Weights):
    @property
    def session(self) -> dict[str, str]:
        return {}


def test_weights_that_do_not_fold_at_load_are_refused(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"the weights do not fold at load: .* convert \d+ of them again"):
        make_candidate(WithoutItsSession(use="int8_weights"), fp32, {}, tmp_path / "int8.onnx")


def test_an_operator_set_without_scales_by_channel_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"])]
    save_graph(tmp_path / "m.onnx", nodes, {"w": normal(20, 6)}, {"x": (1, 20)}, (1, 6), opset=12)

    with pytest.raises(StageError, match=r"^the model is of operator set 12, .* need 13"):
        make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")


def test_a_model_without_weights_is_refused_and_what_is_no_model_too(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["logits"])]
    save_graph(tmp_path / "m.onnx", nodes, {}, {"x": (1, 3)}, (1, 3))
    (tmp_path / "text.onnx").write_bytes(b"hello")

    with pytest.raises(StageError, match=r"^the model has no weights that 8 bits would make smaller") as caught:
        make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "int8.onnx")
    assert caught.value.hint
    with pytest.raises(ConfigError, match="not an ONNX model"):
        make_candidate(SCHEME, tmp_path / "text.onnx", {}, tmp_path / "int8.onnx")
