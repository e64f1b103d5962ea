"""Zero channels: the same answers, nothing stored, and no guess about what cannot be followed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds
from edgekd.errors import StageError
from edgekd.graph.export import export_onnx
from edgekd.graph.padding import pad_channels
from edgekd.graph.runtime import load_session, run_onnx
from edgekd.models.base import Model
from edgekd.models.conv import ConvStack
from edgekd.models.ds_cnn import DepthwiseSeparable
from edgekd.models.ds_resnet import SeparableResNet
from edgekd.models.resnet import ResNet

from .conftest import contract_of
from .quantization.conftest import save_graph

NETWORKS: dict[str, Model] = {
    "conv": ConvStack(use="conv", width=9, depth=2, growth=1.45, stages=2),
    "resnet": ResNet(use="resnet", width=5, growth=1.5, stages=2),
    "ds_cnn": DepthwiseSeparable(use="ds_cnn", width=6, growth=1.5, stages=2),
    "ds_resnet": SeparableResNet(use="ds_resnet", stem=5, width=11, blocks=(1, 1)),
}
Tensors = dict[str, NDArray[Any]]


def exported(model: Model, path: Path) -> Path:
    torch.manual_seed(0)
    contract = contract_of(10, image=(3, 8, 8))
    network = model.build(contract)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.bias is not None:
            torch.nn.init.normal_(layer.bias)  # as after training: the exporter leaves out those of zero
    export_onnx(network, contract, path, ExportOptions())
    return path


def images(count: int = 4, channels: int = 3) -> Feeds:
    return {"image": np.random.default_rng(0).normal(size=(count, channels, 8, 8)).astype(np.float32)}


def filled(path: Path, multiple: int) -> Path:
    model = onnx.load(path)
    pad_channels(model, multiple)
    onnx.checker.check_model(model, full_check=True)
    into = path.with_name(f"filled-{multiple}.onnx")
    onnx.save(model, into)
    return into


def widths_that_run(path: Path) -> set[int]:
    """The numbers of outputs of all convolutions, as the runtime sees them after it has folded constants."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_name("basic.onnx"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(path.with_name("basic.onnx")).graph
    dims = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    return {dims[node.input[1]] for node in graph.node if node.op_type in ("Conv", "FusedConv")}


@pytest.mark.parametrize("multiple", [4, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_own_network_answers_the_same_with_channels_of_zeros(name: str, multiple: int, tmp_path: Path) -> None:
    fp32 = exported(NETWORKS[name], tmp_path / "m.onnx")
    wide = filled(fp32, multiple)

    expected, given = run_onnx(fp32, images()), run_onnx(wide, images())
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5 * float(np.ptp(expected)))
    assert all(width % multiple == 0 for width in widths_that_run(wide))
    assert any(width % multiple for width in widths_that_run(fp32))


@pytest.mark.parametrize("name", NETWORKS)
def test_zeros_are_not_stored_and_the_runtime_makes_them_once_at_load(name: str, tmp_path: Path) -> None:
    fp32 = exported(NETWORKS[name], tmp_path / "m.onnx")
    wide = filled(fp32, 16)

    load_session(wide, optimised=tmp_path / "optimised.onnx")
    assert "Pad" not in {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    floats = {path: sum(t.raw_data.__len__() for t in onnx.load(path).graph.initializer if t.data_type == 1)
              for path in (fp32, wide)}  # fmt: skip
    assert floats[wide] == floats[fp32]


def graph_with(path: Path, nodes: list[onnx.NodeProto], tensors: Tensors, inputs: int = 3) -> Path:
    """image -> a convolution of 5 outputs `c` -> `nodes`, which end in `logits`."""
    weights = np.random.default_rng(1).normal(size=(5, inputs, 3, 3)).astype(np.float32)
    convolution = helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1])
    return save_graph(
        path, [convolution, *nodes], {"w": weights, **tensors}, {"image": ("batch", inputs, 8, 8)}, ("batch", None)
    )


def ending(source: str, features: int = 5 * 64) -> tuple[list[onnx.NodeProto], Tensors]:
    """Flattened, every pixel on its own, and a linear layer."""
    weights = np.random.default_rng(2).normal(size=(features, 7)).astype(np.float32)
    return [
        helper.make_node("Flatten", [source], ["f"]),
        helper.make_node("Gemm", ["f", "head"], ["logits"]),
    ], {"head": weights}


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


FOLLOWED: dict[str, tuple[list[onnx.NodeProto], Tensors]] = {
    "a number": ([helper.make_node("Mul", ["c", "two"], ["x"])], {"two": np.array(2, np.float32)}),
    "a constant for each channel": ([helper.make_node("Add", ["c", "k"], ["x"])], {"k": random(5, 1, 1)}),
    "PRelu": ([helper.make_node("PRelu", ["c", "k"], ["x"])], {"k": random(5, 1, 1)}),
    "a sigmoid, which is not zero where its input is": (
        [helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["c", "s"], ["x"])],
        {},
    ),
    "batch norm by itself": (
        [helper.make_node("BatchNormalization", ["c", "k", "k", "k", "v"], ["x"])],
        {"k": random(5), "v": np.abs(random(5))},
    ),
    "each channel by itself": (
        [helper.make_node("Conv", ["c", "d"], ["x"], group=5, pads=[1, 1, 1, 1])],
        {"d": random(5, 1, 3, 3)},
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_stands_between_convolution_and_linear_layer_is_followed(name: str, tmp_path: Path) -> None:
    between, tensors = FOLLOWED[name]
    last, head = ending("x")
    fp32 = graph_with(tmp_path / "m.onnx", [*between, *last], {**tensors, **head})
    wide = filled(fp32, 16)

    expected = run_onnx(fp32, images())
    np.testing.assert_allclose(run_onnx(wide, images()), expected, rtol=1e-4, atol=1e-5 * float(np.ptp(expected)))
    assert widths_that_run(wide) == {16}


def test_a_shortcut_from_the_image_itself_keeps_its_channels(tmp_path: Path) -> None:
    last, head = ending("x")
    second = helper.make_node("Conv", ["c", "back"], ["d"], pads=[1, 1, 1, 1])
    nodes = [second, helper.make_node("Add", ["d", "image"], ["x"])]
    _, head = ending("x", 3 * 64)
    fp32 = graph_with(tmp_path / "m.onnx", [*nodes, *last], {"back": random(3, 5, 3, 3), **head})
    wide = filled(fp32, 8)

    np.testing.assert_allclose(run_onnx(wide, images()), run_onnx(fp32, images()), rtol=1e-3, atol=1e-2)
    assert widths_that_run(wide) == {8, 3}


STRANGE: dict[str, tuple[list[onnx.NodeProto], Tensors]] = {
    "Softmax": ([helper.make_node("Softmax", ["c"], ["x"], axis=1)], {}),
    "Concat": ([helper.make_node("Concat", ["c", "c"], ["x"], axis=2)], {}),
    "Shape": (
        [
            helper.make_node("Shape", ["c"], ["s"]),
            helper.make_node("Cast", ["s"], ["sf"], to=1),
            helper.make_node("ReduceSum", ["sf"], ["n"], keepdims=0),
            helper.make_node("Mul", ["c", "n"], ["x"]),
        ],
        {},
    ),
    "Transpose": ([helper.make_node("Transpose", ["c"], ["x"], perm=[0, 2, 3, 1])], {}),
    "LRN": ([helper.make_node("LRN", ["c"], ["x"], size=3)], {}),
    "Div": ([helper.make_node("Div", ["two", "c"], ["x"])], {"two": np.array(2, np.float32)}),
    "Gemm": (
        [
            helper.make_node("Flatten", ["c"], ["fc"]),
            helper.make_node("Gemm", ["fc", "big", "fc"], ["x"]),
        ],
        {"big": random(320, 320)},
    ),
    "Add": ([helper.make_node("Add", ["c", "k"], ["x"])], {"k": random(1, 1, 5, 1, 1)}),
    "Concat of channels": (
        [helper.make_node("Concat", ["c", "c"], ["cc"], axis=1), helper.make_node("Conv", ["cc", "g"], ["x"], group=2)],
        {"g": random(4, 5, 1, 1)},
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_channels_that_reach_an_operator_that_cannot_be_followed_are_refused(name: str, tmp_path: Path) -> None:
    between, tensors = STRANGE[name]
    nodes = [*between, helper.make_node("Flatten", ["x"], ["logits"])]
    fp32 = graph_with(tmp_path / "m.onnx", nodes, tensors)

    with pytest.raises(StageError, match=r"its 5 channels reach \w+, through which") as refused:
        filled(fp32, 8)
    assert name.partition(" ")[0] in refused.value.what


def test_channels_that_are_the_answer_stay_as_they_are(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["c"], ["p"]), helper.make_node("Flatten", ["p"], ["logits"])]
    fp32 = graph_with(tmp_path / "m.onnx", nodes, {})

    with pytest.raises(StageError, match="no convolution whose outputs are not a multiple of 8 already"):
        filled(fp32, 8)


def test_a_weight_that_two_convolutions_share_is_filled_up_for_each_as_it_needs(tmp_path: Path) -> None:
    last, head = ending("x")
    nodes = [
        helper.make_node("Conv", ["c", "s"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["d", "s"], ["x"], pads=[1, 1, 1, 1]),
    ]
    fp32 = graph_with(tmp_path / "m.onnx", [*nodes, *last], {"s": random(5, 5, 3, 3), **head})
    wide = filled(fp32, 8)

    expected = run_onnx(fp32, images())
    np.testing.assert_allclose(run_onnx(wide, images()), expected, rtol=1e-3, atol=1e-5 * float(np.ptp(expected)))
    assert Counter(node.op_type for node in onnx.load(wide).graph.node)["Pad"] == 3
