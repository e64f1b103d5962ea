"""Multiply-accumulates, against loops that count them one by one and sums done by hand."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import nn

from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import MODELS
from edgekd.data.modalities.base import Feeds
from edgekd.errors import StageError
from edgekd.graph.dry_run import tensors_of
from edgekd.graph.execution import execution
from edgekd.graph.export import export_onnx
from edgekd.graph.multiplications import macs_by_type, not_counted
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator
from edgekd.models.base import Model
from edgekd.records.contract import InputSpec, ModelContract

from .conftest import contract_of, random_feeds
from .quantization.conftest import save_graph

DIGIT = 28 * 28
FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "conv": ({}, DIGIT * 16 * 9 + 14 * 14 * 32 * 16 * 9 + 7 * 7 * 64 * 32 * 9 + 64 * 10),
    "ds_cnn": (
        {},
        DIGIT * 16 * 9  # the first convolution, then depthwise (9 products an output) and pointwise ones
        + DIGIT * 16 * 9
        + DIGIT * 16 * 16
        + 14 * 14 * 16 * 9
        + 14 * 14 * 32 * 16
        + 7 * 7 * 32 * 9
        + 7 * 7 * 64 * 32
        + 64 * 10,
    ),
    "resnet": (
        {},
        DIGIT * 16 * 9
        + 2 * DIGIT * 16 * 16 * 9
        + 14 * 14 * (32 * 16 * 9 + 32 * 32 * 9 + 32 * 16)  # with the projection of the shortcut
        + 7 * 7 * (64 * 32 * 9 + 64 * 64 * 9 + 64 * 32)
        + 64 * 10,
    ),
    "mlp": ({"width": 96, "depth": 2}, DIGIT * 96 + 96 * 96 + 96 * 10),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_architecture_takes_the_products_that_its_layers_say_in_every_form(family: str, tmp_path: Path) -> None:
    options, expected = FAMILIES[family]
    contract = ModelContract(
        modality="image", inputs=(InputSpec(name="image", shape=(1, 28, 28)),), classes=tuple("0123456789")
    )
    component = component_class(MODELS, family).model_validate({"use": family, **options})
    torch.manual_seed(0)
    fp32 = tmp_path / "fp32.onnx"
    export_onnx(cast("Model", component).build(contract).eval(), contract, fp32, ExportOptions())

    runs = execution(fp32)
    assert (runs.macs, runs.macs_of_file) == ({"float32": expected}, {"float32": expected})
    assert runs.int8_share == 0
    for scheme, before in ((Int8Qdq(use="int8_qdq"), "float32"), (Int8QOperator(use="int8_qoperator"), "int8")):
        runs = make_candidate(scheme, fp32, random_feeds(contract, 16), tmp_path / "int8.onnx").execution
        assert (runs.macs, runs.macs_of_file) == ({"int8": expected}, {before: expected})
        assert runs.int8_share == 1
        assert runs.arithmetic == f"int8 100 % of {expected:,} MACs"


class Attention(nn.Module):
    """One head over 12 places of 16 numbers: products with weights, and products of two activations."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mix = (nn.Linear(16, 16) for _ in range(4))
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.query(x) @ self.key(x).transpose(1, 2) / 4, -1)
        logits: torch.Tensor = self.head(self.mix(weights @ self.value(x)).mean(1))
        return logits


def attention(path: Path) -> Feeds:
    torch.manual_seed(0)
    contract = contract_of(10, x=(12, 16))
    export_onnx(Attention().eval(), contract, path, ExportOptions())
    return random_feeds(contract, 64)


@pytest.mark.parametrize("scheme", [Int8Qdq(use="int8_qdq"), Int8QOperator(use="int8_qoperator")])
def test_products_of_two_activations_count_and_what_is_left_between_them_is_told(
    scheme: Int8Qdq | Int8QOperator, tmp_path: Path
) -> None:
    feeds = attention(tmp_path / "fp32.onnx")
    expected = 4 * 12 * 16 * 16 + 2 * 12 * 12 * 16 + 16 * 10
    assert execution(tmp_path / "fp32.onnx").macs == {"float32": expected}

    runs = make_candidate(scheme, tmp_path / "fp32.onnx", feeds, tmp_path / "int8.onnx").execution
    assert runs.macs == {"int8": expected}
    assert runs.left_between["Softmax"] == 1
    assert runs.float_operators["Softmax"] == 1
    assert runs.unfused == {}


def counted_in_loops(
    kind: str, x: tuple[int, ...], w: tuple[int, ...], *, group: int, stride: int, pad: int
) -> tuple[int, NDArray[np.int64]]:
    """How many weights meet an input, padding included, and the shape of the output."""
    count = 0
    if kind == "ConvTranspose":
        size = [(x[2 + axis] - 1) * stride + w[2 + axis] for axis in range(2)]
        for _ in itertools.product(range(x[0]), range(group), range(x[1] // group), range(x[2]), range(x[3])):
            for _ in itertools.product(range(w[1]), range(w[2]), range(w[3])):
                count += 1
        return count, np.array([x[0], w[1] * group, *size])
    size = [(x[2 + axis] + 2 * pad - w[2 + axis]) // stride + 1 for axis in range(2)]
    for _ in itertools.product(range(x[0]), range(w[0]), range(size[0]), range(size[1])):
        for _ in itertools.product(range(x[1] // group), range(w[2]), range(w[3])):
            count += 1
    return count, np.array([x[0], w[0], *size])


@pytest.mark.parametrize(
    ("kind", "x", "w", "group", "stride", "pad"),
    [
        ("Conv", (2, 4, 5, 6), (6, 4, 3, 2), 1, 1, 1),
        ("Conv", (1, 4, 7, 7), (8, 2, 3, 3), 2, 2, 1),  # grouped
        ("Conv", (1, 4, 7, 7), (8, 1, 3, 3), 4, 1, 0),  # depthwise, two filters a channel
        ("ConvTranspose", (1, 4, 3, 3), (4, 5, 2, 2), 1, 2, 0),
        ("ConvTranspose", (1, 4, 3, 3), (4, 3, 2, 2), 2, 2, 0),
    ],
)
def test_convolutions_are_counted_as_loops_count_them(
    kind: str, x: tuple[int, ...], w: tuple[int, ...], group: int, stride: int, pad: int, tmp_path: Path
) -> None:
    expected, output = counted_in_loops(kind, x, w, group=group, stride=stride, pad=pad)
    node = helper.make_node(kind, ["x", "w"], ["logits"], group=group, strides=[stride] * 2, pads=[pad] * 4)
    weights = np.ones(w, np.float32)
    save_graph(tmp_path / "m.onnx", [node], {"w": weights}, {"x": x}, tuple(map(int, output)))

    model = onnx.load(tmp_path / "m.onnx")
    assert macs_by_type(model.graph, tensors_of(model)) == {"float32": expected}


def microsoft(node: onnx.NodeProto) -> onnx.NodeProto:
    node.domain = "com.microsoft"
    return node


def as_model(
    nodes: list[onnx.NodeProto], tensors: dict[str, NDArray[Any]], shape: tuple[int | str, ...]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name="y")],
        [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


DYNAMIC = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])]
WEIGHTS = np.ones((5, 3), np.int8)


@pytest.mark.parametrize(
    ("nodes", "tensors", "shape", "expected"),
    [
        ([*DYNAMIC, helper.make_node("MatMulInteger", ["q", "w", "z"], ["y"])], {"w": WEIGHTS}, (2, 5), {"int8": 30}),
        (
            [*DYNAMIC, helper.make_node("ConvInteger", ["q", "w", "z"], ["y"])],
            {"w": np.ones((4, 3, 2, 2), np.int8)},
            (1, 3, 4, 4),
            {"int8": 9 * 4 * 3 * 4},
        ),
        (
            [*DYNAMIC, microsoft(helper.make_node("MatMulIntegerToFloat", ["q", "w", "s", "t", "z"], ["y"]))],
            {"w": WEIGHTS, "t": np.array(0.1, np.float32)},
            (2, 5),
            {"int8": 30},
        ),
        (  # its float factor is made 8-bit inside
            [microsoft(helper.make_node("DynamicQuantizeMatMul", ["x", "w", "t"], ["y"]))],
            {"w": WEIGHTS, "t": np.array(0.1, np.float32)},
            (2, 5),
            {"int8": 30},
        ),
        (  # 4-bit weights that float activations meet are computed with in float
            [microsoft(helper.make_node("MatMulNBits", ["x", "w", "t"], ["y"], K=32, N=3, bits=4, block_size=32))],
            {"w": np.zeros((3, 1, 16), np.uint8), "t": np.ones(3, np.float32)},
            (2, 32),
            {"float32": 2 * 32 * 3},
        ),
        (
            [microsoft(helper.make_node("FusedMatMul", ["x", "w"], ["y"], transA=1))],
            {"w": np.ones((2, 3), np.float32)},
            (2, 5),
            {"float32": 5 * 2 * 3},
        ),
        (
            [helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)],
            {"w": np.ones((2, 3), np.float32)},
            (2, 5),
            {"float32": 5 * 2 * 3},
        ),
        ([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((7, 5, 3), np.float32)}, (7, 2, 5),
         {"float32": 7 * 2 * 5 * 3}),
    ],
)  # fmt: skip
def test_products_of_every_form_are_counted_by_what_they_are_computed_in(
    nodes: list[onnx.NodeProto],
    tensors: dict[str, NDArray[Any]],
    shape: tuple[int | str, ...],
    expected: dict[str, int],
) -> None:
    model = as_model(nodes, tensors, shape)

    assert macs_by_type(model.graph, tensors_of(model)) == expected


def test_channels_that_the_runtime_fills_up_are_computed_and_count(tmp_path: Path) -> None:
    # blocks of 8 or 16 channels, as the processor has it: 9 become 16
    weights = np.ones((9, 9, 3, 3), np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), helper.make_node("Relu", ["c"], ["logits"])]
    save_graph(tmp_path / "m.onnx", nodes, {"w": weights}, {"x": (1, 9, 8, 8)}, (1, 9, 8, 8))
    runs = execution(tmp_path / "m.onnx")

    assert runs.macs_of_file == {"float32": 64 * 81 * 9}
    assert runs.macs["float32"] >= runs.macs_of_file["float32"]


def test_free_dimensions_are_one_sample_of_the_size_that_is_given() -> None:
    model = as_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((5, 3), np.float32)}, ("n", "t", 5))

    assert macs_by_type(model.graph, tensors_of(model, {"x": (7, 5)})) == {"float32": 7 * 5 * 3}
    assert macs_by_type(model.graph, tensors_of(model)) == {"float32": 5 * 3}


def test_an_operator_whose_products_are_not_counted_is_named() -> None:
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,jk->ik")]
    model = as_model(nodes, {"w": np.ones((5, 3), np.float32)}, (2, 5))

    assert macs_by_type(model.graph, tensors_of(model)) == {}
    assert not_counted(model.graph) == {"Einsum": 1}


def test_a_model_that_does_not_run_is_told_in_one_line() -> None:
    model = as_model([helper.make_node("Reshape", ["x", "w"], ["y"])], {"w": np.array([7, 7])}, (2, 5))

    with pytest.raises(StageError, match="cannot run it on zeros") as caught:
        tensors_of(model)
    assert "\n" not in str(caught.value)
