"""Zero channels as a candidate: as small as the files that it is made like, and made anew by no runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.errors import StageError
from edgekd.graph.quantization.padded import Padded
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import run_onnx
from edgekd.records.model import Execution

from ..conftest import Digits

ODD = 24  # the widths here are multiples of 16
MOST_FOR_ZEROS = 800  # bytes: how many there are, and the nodes that make them


def test_float_weights_keep_the_answers_and_cost_some_bytes(fp32: Path, digits: Digits, tmp_path: Path) -> None:
    scheme = Padded(use="padded", multiple=ODD, weights="float32")
    made = make_candidate(scheme, fp32, digits.train, tmp_path / "m.onnx")

    expected = run_onnx(fp32, digits.held_out)
    np.testing.assert_allclose(
        run_onnx(tmp_path / "m.onnx", digits.held_out), expected, rtol=0, atol=2e-6 * float(np.ptp(expected))
    )
    assert made.session == {}
    assert made.facts.size_bytes <= fp32.stat().st_size + MOST_FOR_ZEROS


def test_int8_weights_are_those_of_int8_weights(fp32: Path, digits: Digits, tmp_path: Path) -> None:
    plain = make_candidate(Int8Weights(use="int8_weights"), fp32, digits.train, tmp_path / "plain.onnx")
    made = make_candidate(Padded(use="padded", multiple=ODD), fp32, digits.train, tmp_path / "m.onnx")

    expected = run_onnx(tmp_path / "plain.onnx", digits.held_out, plain.session)
    given = run_onnx(tmp_path / "m.onnx", digits.held_out, made.session)
    np.testing.assert_allclose(given, expected, rtol=0, atol=2e-6 * float(np.ptp(expected)))
    assert made.facts.size_bytes <= plain.facts.size_bytes + MOST_FOR_ZEROS
    assert made.facts.parameters == plain.facts.parameters
    weights = [
        sorted(t.raw_data for t in onnx.load(tmp_path / name).graph.initializer if t.data_type == onnx.TensorProto.INT8)
        for name in ("plain.onnx", "m.onnx")
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("left", ["Pad", "DequantizeLinear"])
def test_zeros_that_do_not_fold_are_refused(left: str) -> None:
    with pytest.raises(StageError, match="would make 3 constants again in every inference"):
        Padded(use="padded").check(Execution(operators={left: 3, "Conv": 3}, float_operators={"Conv": 3}))


def test_a_pad_of_the_image_is_not_mistaken_for_one_of_a_weight() -> None:
    Padded(use="padded").check(Execution(operators={"Pad": 1, "Conv": 3}, float_operators={"Pad": 1, "Conv": 3}))
