from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgekd.errors import ConfigError
from edgekd.graph.classifier import opened
from edgekd.graph.inspect import count_parameters, describe, external_files, load_model, oldest_runtime
from tests.harness.conftest import save_model


def linear(*, opset: int = 18) -> onnx.ModelProto:
    """image (batch, 4) -> logits (batch, 3): 12 weights and 3 biases."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["image", "w", "b"], ["logits"])],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.ones((4, 3), np.float32), "w"),
            numpy_helper.from_array(np.ones(3, np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_facts_are_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    onnx.save(linear(), path)
    facts = describe(path)

    assert facts.parameters == 15
    assert facts.size_bytes == path.stat().st_size
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts.opset, facts.ir_version, facts.runtime) == (18, 8, "1.15")
    assert facts.operators == {"Gemm": 1}
    assert [(each.name, each.dtype, each.shape) for each in facts.inputs] == [("image", "float32", ("batch", 4))]
    assert [(each.name, each.dtype, each.shape) for each in facts.outputs] == [("logits", "float32", ("batch", 3))]


def test_parameters_are_those_of_the_network_with_batch_norms_folded(network: nn.Module, fp32: Path) -> None:
    # each of the three convolutions has a bias after folding; one had none, and batch norms had two numbers a channel
    own = sum(each.numel() for name, each in network.named_parameters() if not name.endswith(("1.weight", "1.bias")))

    assert describe(fp32).parameters == own + 16


@pytest.mark.parametrize(
    ("opset", "ir_version", "release"),
    [
        (13, 7, "1.15"),
        (18, 8, "1.15"),
        (20, 9, "1.17"),
        (18, 10, "1.18"),
        (21, 10, "1.18"),
        (23, 11, "1.23"),
        (99, 8, None),
        (18, 99, None),
    ],
)
def test_the_oldest_runtime_is_the_later_of_what_opset_and_ir_need(
    opset: int, ir_version: int, release: str | None
) -> None:
    assert oldest_runtime(opset, ir_version) == release


def test_a_file_that_is_missing_empty_or_something_else_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("hello, this is not a model\n" * 10)
    (tmp_path / "image.onnx").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))

    with pytest.raises(ConfigError, match="cannot read the model .*missing.onnx: No such file"):
        load_model(tmp_path / "missing.onnx")
    with pytest.raises(ConfigError, match="empty"):
        load_model(tmp_path / "empty.onnx")
    for name in ("text.onnx", "image.onnx"):
        with pytest.raises(ConfigError, match="not an ONNX model"):
            load_model(tmp_path / name)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_model_cut_anywhere_is_refused(data: st.DataObject, fp32: Path, tmp_path: Path) -> None:
    whole = fp32.read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1))
    (tmp_path / "cut.onnx").write_bytes(whole[:length])

    with pytest.raises(ConfigError):
        load_model(tmp_path / "cut.onnx")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_still_a_model_and_never_a_traceback(
    at: float, bit: int, fp32: Path, tmp_path: Path
) -> None:
    damaged = bytearray(fp32.read_bytes())
    damaged[int(at * len(damaged))] ^= 1 << bit
    (tmp_path / "damaged.onnx").write_bytes(damaged)

    with contextlib.suppress(ConfigError):
        describe(tmp_path / "damaged.onnx")


def with_external_data(location: str) -> onnx.ModelProto:
    model = linear()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "48")):
        tensor.external_data.add(key=key, value=value)
    return model


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.arange(12, dtype=np.float32).tobytes())
    (tmp_path / "m.onnx").write_bytes(with_external_data("weights.bin").SerializeToString())

    weights = numpy_helper.to_array(load_model(tmp_path / "m.onnx").graph.initializer[0])
    np.testing.assert_array_equal(weights, np.arange(12, dtype=np.float32).reshape(4, 3))


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(with_external_data("weights.bin").SerializeToString())

    with pytest.raises(ConfigError, match=r"external data 'weights\.bin' is missing"):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "link.bin", "HERE/weights.bin", "HERE/model/own.bin", "own/../own.bin", "../model/own.bin"],
)
def test_external_data_outside_the_folder_or_by_a_path_that_leaves_it_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "own.bin").write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    location = location.replace("HERE", str(tmp_path))
    (folder / "m.onnx").write_bytes(with_external_data(location).SerializeToString())

    with pytest.raises(ConfigError, match="outside the model's folder"):
        load_model(folder / "m.onnx")


def test_the_files_of_a_models_external_data_are_found_wherever_in_the_graph_they_are_named(tmp_path: Path) -> None:
    def inside(name: str, location: str) -> onnx.GraphProto:
        tensor = with_external_data(location).graph.initializer[0]
        tensor.name = name
        constant = helper.make_node("Constant", [], [name])
        constant.attribute.append(helper.make_attribute("value", tensor))
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 3])
        return helper.make_graph([constant], name, [], [output])

    model = with_external_data("./deep//weights.bin")
    branches = {"then_branch": inside("then", "a.bin"), "else_branch": inside("else", "deep/b.bin")}
    model.graph.node.append(helper.make_node("If", ["condition"], ["unused"], **branches))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "condition"))
    (tmp_path / "deep").mkdir()
    for name in ("deep/weights.bin", "a.bin", "deep/b.bin"):
        (tmp_path / name).write_bytes(bytes(48))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())

    assert external_files(path) == ("a.bin", "deep/b.bin", "deep/weights.bin")
    assert describe(path).size_bytes == path.stat().st_size + 3 * 48
    (tmp_path / "deep" / "b.bin").unlink()
    with pytest.raises(ConfigError, match=r"external data 'deep/b\.bin' is missing"):
        load_model(path)


def test_an_external_file_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(20))
    (tmp_path / "m.onnx").write_bytes(with_external_data("weights.bin").SerializeToString())

    with pytest.raises(ConfigError):
        load_model(tmp_path / "m.onnx")


def test_scales_zero_points_and_shapes_are_no_parameters() -> None:
    model = linear()
    model.graph.node.extend(
        [
            helper.make_node("Reshape", ["logits", "shape"], ["r"]),
            helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ]
    )
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([-1, 3]), "shape"),
            numpy_helper.from_array(np.array(0.5, np.float32), "s"),
            numpy_helper.from_array(np.array(3, np.uint8), "z"),
        ]
    )

    assert count_parameters(model) == 15


def test_weights_of_more_than_2_gib_are_refused_in_a_line_and_not_read(tmp_path: Path) -> None:
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 150_000_000])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 150_000_000])],
        [weight],
    )
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    with (tmp_path / "weights.bin").open("wb") as stream:
        stream.truncate(2_400_000_000)
    with pytest.raises(ConfigError, match="2 GiB are the most"):
        describe(tmp_path / "m.onnx")


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["hidden"]), helper.make_node("Relu", ["hidden"], ["y"])]
    path = save_model(tmp_path / "m.onnx", nodes)
    path.write_bytes(path.read_bytes().replace(b"hidden", b"hidde\xd9"))
    with pytest.raises(ConfigError, match="is not a valid ONNX model: a name in it is no text"):
        describe(path)


def test_a_constant_with_more_bytes_than_it_has_numbers_is_told(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    model = onnx.load(path)
    model.graph.initializer.add(name="unread", data_type=onnx.TensorProto.UINT8, dims=[1], raw_data=b"12")
    onnx.save(model, path)
    with pytest.raises(ConfigError, match="the constant 'unread' cannot be read: cannot reshape"):
        opened(path)
