"""How many bytes the networks of this package take when they ship in 8 bits."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper

from edgekd.config.export import ExportOptions
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8QOperator
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.models.base import Model
from edgekd.models.conv import ConvStack
from edgekd.models.ds_cnn import DepthwiseSeparable
from edgekd.models.resnet import ResNet

from .conftest import contract_of, random_feeds

NETWORKS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "digits student": (ConvStack(use="conv", width=12, depth=2, stages=2, growth=1.5), (1, 8, 8)),
    "DS-CNN": (DepthwiseSeparable(use="ds_cnn", width=48, depth=2, stages=2), (1, 28, 28)),
    "ResNet-8": (ResNet(use="resnet", width=16, depth=1, stages=3), (3, 32, 32)),
}
SCHEMES: tuple[Scheme, ...] = (Int8QOperator(use="int8_qoperator"), Int8Weights(use="int8_weights"))


@pytest.mark.parametrize("name", NETWORKS)
def test_8_bits_take_the_bytes_of_the_weights_and_scales_and_little_more(name: str, tmp_path: Path) -> None:
    model, shape = NETWORKS[name]
    contract = contract_of(10, image=shape)
    torch.manual_seed(0)
    network = model.build(contract)
    for each in network.modules():
        if isinstance(each, torch.nn.BatchNorm2d):  # a bias of zeros would be stored once for all layers
            torch.nn.init.normal_(each.bias)
    export_onnx(network, contract, tmp_path / "fp32.onnx", ExportOptions())
    constants = {tensor.name: tensor for tensor in onnx.load(tmp_path / "fp32.onnx").graph.initializer}
    nodes = onnx.load(tmp_path / "fp32.onnx").graph.node
    channels = sum(constants[node.input[1]].dims[0] for node in nodes if node.op_type in ("Conv", "Gemm"))
    feeds = random_feeds(contract, 16)
    for scheme in SCHEMES:
        made = make_candidate(scheme, tmp_path / "fp32.onnx", feeds, tmp_path / "int8.onnx")
        assert made.facts.size_bytes <= 1.10 * (made.facts.parameters + 4 * channels) + 2048
        # beside the numbers themselves: names, types, shapes and what is computed
        tensors = [numpy_helper.to_array(each) for each in onnx.load(tmp_path / "int8.onnx").graph.initializer]
        assert made.facts.size_bytes - sum(each.nbytes for each in tensors) <= 30 * len(tensors) + 90 * len(nodes)
        assert len({(each.dtype, each.shape, each.tobytes()) for each in tensors}) == len(tensors), "one is there twice"
