from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.fp16 import Fp16Weights
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.quantization.stored_tables import store_tables
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import run_onnx
from edgekd.records.contract import InputSpec, ModelContract

ROWS, COLUMNS = 500, 16
CONTRACT = ModelContract(
    modality="text",
    inputs=(InputSpec(name="ids", dtype="int32", shape=(24,), varies=True),),
    classes=("a", "b"),
)
IDS = np.random.default_rng(0).integers(1, ROWS, (600, 24)).astype(np.int32)


class Words(nn.Module):
    """The mean of a table's rows, convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(ROWS, COLUMNS)
        self.mix = nn.Conv1d(COLUMNS, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids).transpose(1, 2)
        logits: torch.Tensor = self.head(torch.relu(self.mix(rows)).mean(2))
        return logits


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("words") / "words.onnx"
    export_onnx(Words(), CONTRACT, path, ExportOptions())
    return path


def table_of(content: bytes) -> np.ndarray:
    """The largest constant of a file."""
    constants = [numpy_helper.to_array(each) for each in onnx.load_from_string(content).graph.initializer]
    return max(constants, key=lambda each: each.size)


@pytest.mark.parametrize(
    "scheme", [Int8Weights(use="int8_weights"), Int8Qdq(use="int8_qdq")], ids=lambda each: each.use
)
def test_a_table_takes_a_byte_a_number_on_disk_and_answers_stay(scheme: Scheme, fp32: Path, tmp_path: Path) -> None:
    made = make_candidate(scheme, fp32, {"ids": IDS}, tmp_path / "q.onnx", (), None)

    table = table_of((tmp_path / "q.onnx").read_bytes())
    assert table.dtype == np.int8
    assert table.shape == (ROWS, COLUMNS)
    assert made.facts.size_bytes < fp32.stat().st_size / 3
    expected, found = run_onnx(fp32, {"ids": IDS}), run_onnx(tmp_path / "q.onnx", {"ids": IDS}, scheme.session)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.ptp(expected)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.98


def test_only_the_rows_that_are_read_become_float(fp32: Path, tmp_path: Path) -> None:
    """Behind a DequantizeLinear of the whole table, which the runtime may compute anew in every inference, none is."""
    scheme = Int8Weights(use="int8_weights")
    made = make_candidate(scheme, fp32, {"ids": IDS}, tmp_path / "q.onnx", (), None)

    graph = onnx.load(tmp_path / "q.onnx").graph
    (gather,) = [node for node in graph.node if node.op_type == "Gather"]
    (behind,) = [node for node in graph.node if gather.output[0] in node.input]
    assert behind.op_type == "DequantizeLinear"
    assert made.execution.operators["DequantizeLinear"] == 1  # the convolution's and the product's are folded
    assert not made.execution.unfolded


def test_the_rows_are_those_of_the_float_table_to_half_a_step(fp32: Path) -> None:
    model = onnx.load(fp32)
    floats = table_of(fp32.read_bytes())
    assert store_tables(model) == 1

    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    (stored,) = [each for each in constants.values() if each.dtype == np.int8]
    (scale,) = [each for name, each in constants.items() if name.endswith("_scale")]
    assert scale.shape == (COLUMNS,)
    assert (np.abs(stored * scale - floats) <= scale / 2 * 1.0001).all()


def test_a_table_that_is_a_weight_too_stays_as_it_is(fp32: Path) -> None:
    model = onnx.load(fp32)
    (gather,) = [node for node in model.graph.node if node.op_type == "Gather"]
    model.graph.node.append(onnx.helper.make_node("Transpose", [gather.input[0]], ["turned"], perm=[1, 0]))
    before = model.SerializeToString(deterministic=True)

    assert store_tables(model) == 0
    assert model.SerializeToString(deterministic=True) == before


def test_a_table_in_halves_is_judged_by_columns(fp32: Path, tmp_path: Path) -> None:
    scheme = Fp16Weights(use="fp16_weights")
    make_candidate(scheme, fp32, {"ids": IDS}, tmp_path / "h.onnx", (), None)

    assert table_of((tmp_path / "h.onnx").read_bytes()).dtype == np.float16


def test_a_table_saturates_no_sum_for_nothing_is_multiplied_by_it(fp32: Path, tmp_path: Path) -> None:
    scheme = Int8Qdq(use="int8_qdq", reduce_range=True)
    made = make_candidate(scheme, fp32, {"ids": IDS}, tmp_path / "q.onnx", (), None)

    assert np.abs(table_of((tmp_path / "q.onnx").read_bytes()).astype(int)).max() > 64
    assert "saturation" not in {each.name for each in made.cautions}
