"""Every registered architecture goes the whole way: torch, fp32 file, 8-bit file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import MODELS
from edgekd.graph.export import export_onnx
from edgekd.graph.inspect import describe
from edgekd.graph.parity import check_parity
from edgekd.graph.quantization.quantize import quantize
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.runtime import run_onnx

from .conftest import learn

SMALL: dict[str, dict[str, Any]] = {"torchvision": {"name": "shufflenet_v2_x0_5"}}


@pytest.mark.parametrize("family", MODELS.members)
def test_a_family_exports_quantizes_and_keeps_its_answers(family, digits, tmp_path):
    component = component_class(MODELS, family).model_validate({"use": family, **SMALL.get(family, {})})
    torch.manual_seed(0)
    network = learn(component.build(digits.contract), digits)
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"

    export_onnx(network, digits.contract, fp32, ExportOptions())
    with torch.no_grad():
        expected = network(torch.from_numpy(digits.held_out)).numpy()
    answers = run_onnx(fp32, digits.held_out)
    check_parity(expected, answers)
    facts = quantize(Int8Qdq(use="int8_qdq"), fp32, digits.train, int8)
    quantized = run_onnx(int8, digits.held_out)

    assert np.mean(answers.argmax(axis=1) == digits.labels[-500:]) > 0.6  # it learned: agreement means something
    assert np.mean(answers.argmax(axis=1) == quantized.argmax(axis=1)) >= 0.9
    assert facts.execution.float_operators == {}
    assert describe(int8).parameters == describe(fp32).parameters
    assert describe(int8).size_bytes <= 1.5 * describe(int8).parameters + 8192
