from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.config.normalisation import Normalisation
from edgekd.errors import ConfigError
from edgekd.graph.adopt import adopt
from edgekd.graph.inspect import external_files
from edgekd.graph.runtime import load_session, run_onnx
from edgekd.records.contract import InputSpec, ModelContract

CONTRACT = ModelContract(modality="vector", inputs=(InputSpec(name="x", shape=(3,)),), classes=("a", "b"))
WEIGHTS: dict[str, NDArray[np.float32]] = {
    "first": np.arange(12, dtype=np.float32).reshape(3, 4) / np.float32(10),
    "last": np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2),
    "other": np.ones((4, 5), dtype=np.float32),
}
X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
LOGITS = np.maximum(X @ WEIGHTS["first"], 0) @ WEIGHTS["last"]


def written(path: Path, outputs: dict[str, int], *, external: str | None = None, ir_version: int = 9) -> Path:
    """Two layers, of which `hidden` (N, 4) is the first, and `more` (N, 5) a head beside `logits` (N, 2)."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["product"]),
        helper.make_node("Relu", ["product"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "other"], ["more"]),
        helper.make_node("Identity", ["true"], ["always"]),
        helper.make_node("If", ["always"], ["logits"], then_branch=branch("last"), else_branch=branch("last")),
    ]
    tensors = [numpy_helper.from_array(each, name) for name, each in WEIGHTS.items()]
    tensors.append(numpy_helper.from_array(np.array(True), "true"))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3))]
    if ir_version < 4:
        inputs += [helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in tensors]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", size)) for name, size in outputs.items()]
    graph = helper.make_graph(nodes, "elsewhere", inputs, made, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir_version)
    onnx.save(model, path, save_as_external_data=external is not None, location=external, size_threshold=0)
    return path


def branch(weight: str) -> onnx.GraphProto:
    """It reads the tensor `hidden` and its weight from around it."""
    result = helper.make_tensor_value_info(f"{weight}_result", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("MatMul", ["hidden", weight], [result.name])], "branch", [], [result])


def test_a_file_with_one_output_keeps_its_bytes(tmp_path: Path) -> None:
    file = written(tmp_path / "given.onnx", {"logits": 2})
    adopt(file, CONTRACT, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("ir_version", [3, 9])
@pytest.mark.parametrize("external", [None, "weights.bin"])
@pytest.mark.parametrize(
    "outputs", [{"hidden": 4, "logits": 2}, {"logits": 2, "more": 5}, {"more": 5, "logits": 2, "hidden": 4}], ids=str
)
def test_of_several_outputs_the_logits_stay_with_what_they_need(
    tmp_path: Path, outputs: dict[str, int], external: str | None, ir_version: int
) -> None:
    file = written(tmp_path / "given.onnx", outputs, external=external, ir_version=ir_version)
    path = tmp_path / "elsewhere" / "model.onnx"
    path.parent.mkdir()
    adopt(file, CONTRACT, path)
    session = load_session(path)
    assert [each.name for each in session.get_inputs()] == ["x"]
    assert [each.name for each in session.get_outputs()] == ["logits"]
    assert run_onnx(path, {"x": X}) == pytest.approx(LOGITS, abs=1e-5)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Relu", "Identity", "If"]
    assert {tensor.name for tensor in model.graph.initializer} == {"first", "last", "true"}


def test_weights_in_files_beside_it_are_put_inside(tmp_path: Path) -> None:
    file = written(tmp_path / "given.onnx", {"logits": 2}, external="weights.bin")
    path = tmp_path / "elsewhere" / "model.onnx"
    path.parent.mkdir()
    adopt(file, CONTRACT, path)
    assert external_files(path) == ()
    assert run_onnx(path, {"x": X}) == pytest.approx(LOGITS, abs=1e-5)


def test_of_several_outputs_none_of_which_is_called_as_the_contracts_none_is_taken(tmp_path: Path) -> None:
    file = written(tmp_path / "given.onnx", {"hidden": 4, "more": 5})
    with pytest.raises(ConfigError, match="its outputs are hidden, more, none is called 'logits'$") as error:
        adopt(file, CONTRACT, tmp_path / "model.onnx")
    assert error.value.what.startswith(f"{file}: ")
    assert not (tmp_path / "model.onnx").exists()


IMAGES = ModelContract(
    modality="vector",
    inputs=(InputSpec(name="x", shape=(3,), preprocessing={"mean": [0.5, 0.1, -2.0], "std": [2.0, 1.0, 0.25]}),),
    classes=("a", "b"),
)


@pytest.mark.parametrize("outputs", [{"logits": 2}, {"hidden": 4, "logits": 2}], ids=str)
def test_a_model_that_was_normalised_otherwise_gets_what_it_was_trained_with(
    tmp_path: Path, outputs: dict[str, int]
) -> None:
    """Fed with what the data says, it answers as it would if it were fed with what it wants."""
    file, path = written(tmp_path / "given.onnx", outputs), tmp_path / "model.onnx"
    mean, std = np.array([1.0, 2.0, 3.0]), np.array([0.5, 4.0, 1.5])
    adopt(file, IMAGES, path, Normalisation(tuple(mean), tuple(std)))
    onnx.checker.check_model(onnx.load(path), full_check=True)
    ours = (X - np.array([0.5, 0.1, -2.0])) / np.array([2.0, 1.0, 0.25])
    theirs = (X - mean) / std
    expected = np.maximum(theirs @ WEIGHTS["first"], 0) @ WEIGHTS["last"]
    assert run_onnx(path, {"x": ours.astype(np.float32)}) == pytest.approx(expected, abs=1e-4)


def test_a_normalisation_of_other_channels_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "given.onnx", {"logits": 2})
    with pytest.raises(ConfigError, match="mean and std have 1 and 1 numbers, the data has 3 channels"):
        adopt(file, IMAGES, tmp_path / "model.onnx", Normalisation((0.5,), (0.5,)))
