"""Every registered architecture goes the whole way: torch, fp32 file, 8-bit files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import MODELS
from edgekd.graph.export import export_onnx
from edgekd.graph.inspect import describe
from edgekd.graph.parity import check_parity
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import run_onnx
from edgekd.models.base import Model

from .conftest import Digits, answers, learn

SMALL: dict[str, dict[str, Any]] = {
    "torchvision": {"name": "shufflenet_v2_x0_5"},
    "airbench": {"widths": [16, 32]},
}
WITH_GELU = {"airbench"}  # it has no 8-bit kernel, and its constants are counted


# 7-bit weights: those of 8 bits overflow on x86 without VNNI, whatever the architecture
SCHEMES: tuple[Scheme, ...] = (Int8Qdq(use="int8_qdq", reduce_range=True), Int8Weights(use="int8_weights"))


@pytest.mark.parametrize("family", MODELS.members)
def test_a_family_exports_quantizes_and_keeps_its_answers(family: str, digits: Digits, tmp_path: Path) -> None:
    component = component_class(MODELS, family).model_validate({"use": family, **SMALL.get(family, {})})
    torch.manual_seed(0)
    network = learn(cast("Model", component).build(digits.contract), digits.train, digits.labels[:-500])
    fp32 = tmp_path / "fp32.onnx"
    export_onnx(network, digits.contract, fp32, ExportOptions())
    expected = run_onnx(fp32, digits.held_out)
    check_parity(answers(network, digits.held_out), expected)
    assert np.mean(expected.argmax(axis=1) == digits.labels[-500:]) > 0.6  # it learned: agreement means something

    for scheme in SCHEMES:
        made = make_candidate(scheme, fp32, digits.train, tmp_path / "int8.onnx")
        given = run_onnx(tmp_path / "int8.onnx", digits.held_out, made.session)
        assert np.mean(expected.argmax(axis=1) == given.argmax(axis=1)) >= 0.9
        assert made.facts.size_bytes <= 1.5 * made.facts.parameters + 8192
        assert made.execution.in_float == (scheme.use == "int8_weights")
        if family not in WITH_GELU:
            assert made.facts.parameters == describe(fp32).parameters
            assert (made.execution.float_operators == {}) == (scheme.use == "int8_qdq")
