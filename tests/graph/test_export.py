from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds
from edgekd.errors import StageError
from edgekd.graph.export import export_onnx
from edgekd.graph.runtime import run_onnx
from edgekd.records.contract import InputSpec, ModelContract

from .conftest import Digits, answers, contract_of, random_feeds


def contract(classes: int = 10) -> ModelContract:
    return contract_of(classes, image=(1, 8, 8))


def first(feeds: Feeds, samples: int) -> Feeds:
    return {name: array[:samples] for name, array in feeds.items()}


def test_the_file_computes_what_torch_computes(network: nn.Module, digits: Digits, fp32: Path) -> None:
    assert np.abs(run_onnx(fp32, digits.held_out) - answers(network, digits.held_out)).max() < 1e-4


class TwoInputs(nn.Module):
    """A matrix of three readings of four sensors each, and a vector of five; they do not mean the same."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = nn.Linear(12, 16)
        self.settings = nn.Linear(5, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, readings: torch.Tensor, settings: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.readings(readings.flatten(1)) - self.settings(settings)))
        return logits


@pytest.mark.parametrize("batch", ["dynamic", 4])
def test_any_number_of_inputs_goes_by_the_names_and_the_order_of_the_contract(
    batch: Literal["dynamic"] | int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, two = TwoInputs(), contract_of(readings=(3, 4), settings=(5,))
    export_onnx(model, two, tmp_path / "m.onnx", ExportOptions(batch=batch))

    size = "batch" if batch == "dynamic" else batch
    inputs = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_inputs()
    assert [(each.name, each.shape) for each in inputs] == [("readings", [size, 3, 4]), ("settings", [size, 5])]
    feeds = random_feeds(two, 150)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", feeds), answers(model, feeds), atol=1e-5)
    reordered = dict(reversed(feeds.items()))
    np.testing.assert_array_equal(run_onnx(tmp_path / "m.onnx", reordered), run_onnx(tmp_path / "m.onnx", feeds))


class Longest(nn.Module):
    """What the largest of the rows of a table says, of as many as there are, and nothing of the second input."""

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 6, padding_idx=0)
        self.head = nn.Linear(6 if length is None else 6 * length, 10)
        self.length = length

    def forward(self, ids: torch.Tensor, pieces: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids)
        logits: torch.Tensor = self.head(rows.amax(1) if self.length is None else rows.flatten(1))
        return logits


def texts() -> ModelContract:
    inputs = (
        InputSpec(name="ids", dtype="int32", shape=(12,), varies=True),
        InputSpec(name="pieces", dtype="int32", shape=(16,), varies=True),
    )
    return ModelContract(modality="text", inputs=inputs, classes=tuple(map(str, range(10))))


@pytest.mark.parametrize("batch", ["dynamic", 1])
def test_an_input_may_be_of_any_length_and_one_that_is_not_read_is_not_in_the_file(
    batch: Literal["dynamic"] | int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = Longest()
    export_onnx(model, texts(), tmp_path / "m.onnx", ExportOptions(batch=batch))

    size = "batch" if batch == "dynamic" else batch
    inputs = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_inputs()
    assert [(each.name, each.shape, each.type) for each in inputs] == [("ids", [size, "ids_length"], "tensor(int32)")]
    for length in (1, 5, 12, 40):
        ids = np.random.default_rng(length).integers(0, 30, (7, length)).astype(np.int32)
        expected = model(torch.from_numpy(ids), torch.zeros(7, 1)).detach().numpy()
        np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", {"ids": ids}), expected, atol=1e-6)


def test_a_model_that_wants_one_length_is_refused_where_shorter_ones_may_come(tmp_path: Path) -> None:
    with pytest.raises(StageError) as refused:
        export_onnx(Longest(12), texts(), tmp_path / "m.onnx", ExportOptions())

    assert "12" in str(refused.value)
    assert not (tmp_path / "m.onnx").exists()


def test_a_model_fed_other_inputs_than_it_reads_is_told_which(tmp_path: Path) -> None:
    export_onnx(nn.Linear(5, 10), contract_of(features=(5,)), tmp_path / "m.onnx", ExportOptions())

    with pytest.raises(StageError, match=r"m\.onnx reads an input 'features', and is given 'image'"):
        run_onnx(tmp_path / "m.onnx", {"image": np.zeros((2, 5), np.float32)})


def test_rows_of_features_are_samples_as_images_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, rows = nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 3)), contract_of(3, features=(30,))
    export_onnx(model, rows, tmp_path / "m.onnx", ExportOptions())

    feeds = random_feeds(rows, 7)
    assert [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node] == ["Gemm", "Relu", "Gemm"]
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", feeds), answers(model, feeds), atol=1e-5)


def test_batch_norms_are_folded_and_means_over_height_and_width_are_pooling(fp32: Path) -> None:
    operators = [node.op_type for node in onnx.load(fp32).graph.node]

    assert "BatchNormalization" not in operators
    assert "ReduceMean" not in operators
    assert "GlobalAveragePool" in operators
    assert operators.count("Conv") == 3


def test_a_mean_over_other_axes_stays_what_it_is(digits: Digits, tmp_path: Path) -> None:
    class OverChannels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 6, 3, padding=1)
            self.head = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.convolution(x).mean(1).flatten(1))
            return logits

    torch.manual_seed(0)
    model = OverChannels().eval()
    export_onnx(model, digits.contract, tmp_path / "m.onnx", ExportOptions())

    few = first(digits.held_out, 8)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", few), answers(model, few), atol=1e-5)


def test_nothing_of_the_maker_is_in_the_file(fp32: Path) -> None:
    content = fp32.read_bytes()
    model = onnx.load(fp32)

    for trace in (b"torch", b'File "', b"aten", b".py", str(Path.home()).encode()):
        assert trace not in content
    assert not model.metadata_props
    assert not model.doc_string
    assert not model.producer_name
    assert not any(node.name or node.doc_string or node.metadata_props for node in model.graph.node)
    weights = sum(np.prod(tensor.dims) * 4 for tensor in model.graph.initializer)
    assert len(content) - weights < 1500


def test_inputs_and_outputs_are_named_by_the_contract(fp32: Path) -> None:
    session = onnxruntime.InferenceSession(fp32)

    assert [(each.name, each.shape) for each in session.get_inputs()] == [("image", ["batch", 1, 8, 8])]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("logits", ["batch", 10])]


@pytest.mark.parametrize(("opset", "ir_version"), [(18, 8), (21, 10)])
def test_the_ir_version_is_the_oldest_that_the_opset_allows(opset: int, ir_version: int, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    export_onnx(model, contract(), tmp_path / "m.onnx", ExportOptions(opset=opset))

    proto = onnx.load(tmp_path / "m.onnx")
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", opset)]
    assert proto.ir_version == ir_version


def test_a_fixed_batch_is_fixed(network: nn.Module, digits: Digits, tmp_path: Path, fp32: Path) -> None:
    export_onnx(network, digits.contract, tmp_path / "m.onnx", ExportOptions(batch=1))

    assert onnxruntime.InferenceSession(tmp_path / "m.onnx").get_inputs()[0].shape == [1, 1, 8, 8]
    few = first(digits.held_out, 5)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", few), run_onnx(fp32, few), atol=1e-5)


def test_equal_weights_give_equal_bytes_in_another_process_that_prints_nothing(tmp_path: Path) -> None:
    script = """
import sys, torch
from torch import nn
from pathlib import Path
from edgekd.config.export import ExportOptions
from edgekd.graph.export import export_onnx
from edgekd.records.contract import ModelContract

def export(path, contract):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    export_onnx(model, ModelContract.model_validate_json(contract), Path(path), ExportOptions())

if __name__ == "__main__":
    export(*sys.argv[1:])
"""
    here, there = tmp_path / "here.onnx", tmp_path / "there.onnx"
    done = subprocess.run(
        [sys.executable, "-c", script, there, contract().model_dump_json()],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    names: dict[str, Any] = {"__name__": "imported"}
    exec(script, names)
    names["export"](here, contract().model_dump_json())

    assert (done.stdout, done.stderr) == ("", "")
    assert here.read_bytes() == there.read_bytes()


def test_a_model_in_training_mode_is_exported_for_inference_and_left_in_training_mode(
    digits: Digits, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10))
    model[1].eval()
    export_onnx(model, digits.contract, tmp_path / "m.onnx", ExportOptions())

    assert [module.training for module in model] == [True, False, True, True, True]
    assert "Dropout" not in [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    few = first(digits.held_out, 16)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", few), answers(model, few), atol=1e-5)


def test_weights_in_channels_last_order_export_right(
    network: nn.Module, digits: Digits, fp32: Path, tmp_path: Path
) -> None:
    export_onnx(network.to(memory_format=torch.channels_last), digits.contract, tmp_path / "m.onnx", ExportOptions())
    network.to(memory_format=torch.contiguous_format)

    assert (tmp_path / "m.onnx").read_bytes() == fp32.read_bytes()


def test_an_operation_without_an_onnx_operator_is_named(tmp_path: Path) -> None:
    class Eigenvalues(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = torch.linalg.eigvals(x.mean(1)).real
            return values

    with pytest.raises(StageError, match=r"uses aten\.linalg_eig, which has no ONNX operator") as caught:
        export_onnx(Eigenvalues(), contract(8), tmp_path / "m.onnx", ExportOptions())

    assert caught.value.hint
    assert not (tmp_path / "m.onnx").exists()


def test_a_model_tied_to_one_batch_size_is_told_to_fix_it(tmp_path: Path) -> None:
    class TwoAtATime(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(2, 64)[:, :10]

    with pytest.raises(StageError, match="does not take batches of any size") as caught:
        export_onnx(TwoAtATime(), contract(), tmp_path / "m.onnx", ExportOptions())

    assert "export.batch: 1" in str(caught.value.hint)


def test_a_second_input_tied_to_one_batch_size_is_told_too(tmp_path: Path) -> None:
    class TwoOfTheSecond(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y.reshape(2, 10).sum(0)

    with pytest.raises(StageError, match="does not take batches of any size"):
        export_onnx(TwoOfTheSecond(), contract_of(x=(10,), y=(10,)), tmp_path / "m.onnx", ExportOptions())


def test_a_model_that_branches_on_values_is_one_line(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = x.flatten(1)[:, :10]
            return flat if x.sum() > 0 else -flat

    with pytest.raises(StageError, match="cannot export the model") as caught:
        export_onnx(Branches(), contract(), tmp_path / "m.onnx", ExportOptions())

    assert "\n" not in str(caught.value)


def test_an_output_that_is_not_one_row_a_sample_is_refused(tmp_path: Path) -> None:
    class AlwaysTwoRows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(2, -1)[:, :10]

    with pytest.raises(StageError, match=r"output is \(2, 10\), not logits \(batch, 10\)"):
        export_onnx(AlwaysTwoRows(), contract(), tmp_path / "m.onnx", ExportOptions())


def test_a_model_that_does_not_fit_into_one_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.graph.export.LARGEST_BYTES", 1000)

    with pytest.raises(StageError, match="do not fit into one ONNX file"):
        export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), contract(), tmp_path / "m.onnx", ExportOptions())
    assert not (tmp_path / "m.onnx").exists()


def test_an_output_of_other_classes_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))

    with pytest.raises(StageError, match=r"output is \(batch, 7\), not logits \(batch, 10\)"):
        export_onnx(model, contract(), tmp_path / "m.onnx", ExportOptions())
