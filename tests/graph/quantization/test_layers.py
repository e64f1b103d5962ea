from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.config.layer_rule import LayerRule
from edgekd.errors import ConfigError
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.layers import by_channels, layer_names, layers_of, left_in_float, restored
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator, StaticInt8
from edgekd.graph.quantization.static import prepared

from ..conftest import Digits, contract_of
from .conftest import save_graph

NAMES = ("stem.0", "stages.0.0.0", "stages.0.1.0", "head")


def rules(*pairs: tuple[str, str]) -> tuple[LayerRule, ...]:
    return tuple(LayerRule.model_validate({"match": match, "keep": keep}) for match, keep in pairs)


def test_layers_are_called_as_their_modules_in_torch_and_the_file_does_not_say_so(tmp_path: Path) -> None:
    network = nn.Sequential()
    network.add_module("stem", nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()))
    network.add_module("flatten", nn.Flatten())
    network.add_module("head", nn.Linear(144, 10))

    assert export_onnx(network, contract_of(image=(1, 8, 8)), tmp_path / "m.onnx", ExportOptions()) == (
        "stem.0",
        "head",
    )
    assert layer_names(onnx.load(tmp_path / "m.onnx")) == ("Conv_0", "Gemm_1")
    assert b"stem" not in (tmp_path / "m.onnx").read_bytes()


def test_layers_of_a_file_from_elsewhere_are_called_as_its_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "w"], ["logits"]),
    ]
    save_graph(tmp_path / "m.onnx", nodes, {"w": np.eye(4, dtype=np.float32)}, {"x": ("batch", 4)}, ("batch", 4))

    assert layer_names(onnx.load(tmp_path / "m.onnx")) == ("first", "MatMul_1")


def test_of_two_rules_about_a_layer_the_later_one_wins() -> None:
    assert left_in_float(NAMES, rules(("stages.*", "float"), ("stages.0.1.*", "int8")), "x") == ("stages.0.0.0",)
    assert left_in_float(NAMES, rules(("stages.0.1.*", "int8"), ("stages.*", "float")), "x") == NAMES[1:3]


def test_a_rule_about_a_part_is_about_all_layers_in_it() -> None:
    assert left_in_float(NAMES, rules(("stages.0", "float")), "x") == NAMES[1:3]
    assert left_in_float(NAMES, (), "x") == ()


def test_a_rule_about_no_layer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"int8_qdq: no layer of the network is called 'haed'") as caught:
        left_in_float(NAMES, rules(("haed", "float")), "int8_qdq")
    assert "head" in str(caught.value.hint)


@pytest.mark.parametrize("kind", [Int8Qdq, Int8QOperator])
def test_a_layer_that_a_user_leaves_in_float_computes_in_float_and_the_others_do_not(
    kind: type[StaticInt8], fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    names = layer_names(onnx.load(fp32))
    first = kind(use="x", rules=rules((names[0], "float")))
    made = make_candidate(first, fp32, digits.train, tmp_path / "m.onnx")

    assert made.execution.float_operators["Conv"] == 1
    assert made.execution.operators["QLinearConv"] == 2


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(6, 4), nn.Linear(6, 4, bias=False)]
)
def test_weights_by_channels_come_back_as_they_were(layer: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (4, 8, 8) if isinstance(layer, nn.Conv2d) else (6,)
    network = nn.Sequential(layer, nn.Flatten())
    with torch.no_grad():
        classes = network(torch.zeros(2, *shape)).shape[1]
    export_onnx(network, contract_of(classes, x=shape), tmp_path / "m.onnx", ExportOptions())
    model = prepared(tmp_path / "m.onnx", "x", ["layer"])
    (found,) = layers_of(model)
    weights = by_channels(model, found)

    assert isinstance(layer, nn.Conv2d | nn.Linear)
    expected = layer.weight.detach().numpy()
    assert weights.shape[0] * weights.shape[1] == len(expected)
    np.testing.assert_array_equal(weights.reshape(len(expected), -1), expected.reshape(len(expected), -1))
    back = restored(model, found, weights)
    stored = onnx.numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == found.weight))
    np.testing.assert_array_equal(back.reshape(stored.shape), stored)
