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
from tests.models.test_models import TEXTS
from tests.models.text_contracts import CUT, text_contract

from .conftest import Digits, answers, learn

SMALL: dict[str, dict[str, Any]] = {
    "torchvision": {"name": "shufflenet_v2_x0_5"},
    "airbench": {"widths": [16, 32]},
}
OPERATORS_BYTES = {"bc_resnet": 24576}
"""What the operators of a file may take; of 41 small convolutions with their scales more than their weights."""
WITH_GELU = {"airbench"}  # it has no 8-bit kernel, and its constants are counted


# 7-bit weights: those of 8 bits overflow on x86 without VNNI, whatever the architecture
SCHEMES: tuple[Scheme, ...] = (Int8Qdq(use="int8_qdq", reduce_range=True), Int8Weights(use="int8_weights"))


@pytest.mark.parametrize("family", sorted(MODELS.members.keys() - TEXTS))
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
        assert made.facts.size_bytes <= 1.5 * made.facts.parameters + OPERATORS_BYTES.get(family, 8192)
        assert made.execution.in_float == (scheme.use == "int8_weights")
        if family not in WITH_GELU:
            assert made.facts.parameters == describe(fp32).parameters
            assert (made.execution.float_operators == {}) == (scheme.use == "int8_qdq")


@pytest.mark.parametrize("family", sorted(TEXTS - {"transformers"}))
def test_a_family_for_texts_is_as_small_as_its_table_in_bytes_and_keeps_its_answers(
    family: str, tmp_path: Path
) -> None:
    """Texts of 3 to 12 numbers; which of two of them occurs is the class."""
    contract, generator = text_contract(12, pieces=None, classes=("a", "b")), np.random.default_rng(0)
    ids = generator.integers(4, len(CUT), (1500, 12)).astype(np.int32)
    labels = generator.integers(0, 2, 1500)
    ids[np.arange(1500), generator.integers(0, 3, 1500)] = 2 + labels
    ids[np.arange(12) >= generator.integers(3, 13, (1500, 1))] = 0
    component = cast("Model", component_class(MODELS, family).model_validate({"use": family}))
    torch.manual_seed(0)
    network = learn(component.build(contract), {"ids": ids[:1000]}, labels[:1000], epochs=10)
    fp32 = tmp_path / "fp32.onnx"
    export_onnx(network, contract, fp32, ExportOptions())
    expected = run_onnx(fp32, {"ids": ids[1000:]})
    check_parity(answers(network, {"ids": ids[1000:]}), expected)
    assert np.mean(expected.argmax(axis=1) == labels[1000:]) > 0.9

    for scheme in SCHEMES:
        made = make_candidate(scheme, fp32, {"ids": ids[:1000]}, tmp_path / "int8.onnx")
        # as many positions as the contract's has text_transformer, whose attention 7 bits disturb
        lengths, alike = ((12,), 0.75) if family == "text_transformer" else ((12, 20), 0.97)
        for length in lengths:
            longer = np.pad(ids[1000:], ((0, 0), (0, length - 12)))
            given = run_onnx(tmp_path / "int8.onnx", {"ids": longer}, made.session)
            assert np.mean(expected.argmax(axis=1) == given.argmax(axis=1)) >= alike
        assert made.facts.size_bytes <= 1.5 * made.facts.parameters + 8192
