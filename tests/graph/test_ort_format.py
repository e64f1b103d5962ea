from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.order import order_by_use
from edgekd.graph.ort_format import canonical, operators_of
from edgekd.graph.runtime import run_onnx
from edgekd.graph.slim import slim

from .conftest import Digits


def saved(source: Path, to: Path) -> bytes:
    """What the runtime writes in its own format, unoptimised."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(to)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return to.read_bytes()


def test_the_runtime_writes_other_bytes_each_time_and_their_canonical_form_is_one(fp32: Path, tmp_path: Path) -> None:
    written = {saved(fp32, tmp_path / "m.ort") for _ in range(12)}
    assert len(written) > 1
    assert len({canonical(each) for each in written}) == 1


def test_the_canonical_form_is_the_same_model_and_its_own(fp32: Path, digits: Digits, tmp_path: Path) -> None:
    content = canonical(saved(fp32, tmp_path / "m.ort"))
    (tmp_path / "canonical.ort").write_bytes(content)

    assert canonical(content) == content
    assert operators_of([tmp_path / "canonical.ort"])[0] == operators_of([tmp_path / "m.ort"])[0]
    expected = run_onnx(fp32, digits.held_out)
    np.testing.assert_allclose(run_onnx(tmp_path / "canonical.ort", digits.held_out), expected, atol=1e-4)
    np.testing.assert_array_equal(
        run_onnx(tmp_path / "canonical.ort", digits.held_out), run_onnx(tmp_path / "m.ort", digits.held_out)
    )


def diamond(order: list[int]) -> onnx.ModelProto:
    """logits = (image + a) * (image * b), and a node that nobody needs; nodes and constants in that order."""
    nodes = [
        helper.make_node("Add", ["image", "a"], ["sum"]),
        helper.make_node("Mul", ["image", "b"], ["product"]),
        helper.make_node("Neg", ["image"], ["unused"]),
    ]
    tensors = [numpy_helper.from_array(np.full(3, n + 2, np.float32), "ab"[n]) for n in range(2)]
    graph = helper.make_graph(
        [*(nodes[number] for number in order), helper.make_node("Mul", ["sum", "product"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [tensors[number] for number in order if number < 2],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_the_order_of_nodes_is_that_of_what_they_compute(order: list[int], tmp_path: Path) -> None:
    model, first = diamond(order), diamond([0, 1, 2])
    for each in (model, first):
        order_by_use(each)
        slim(each)
    onnx.checker.check_model(model, full_check=True)

    assert model.SerializeToString(deterministic=True) == first.SerializeToString(deterministic=True)
    assert [node.op_type for node in model.graph.node] == ["Add", "Mul", "Mul"]
    onnx.save(model, tmp_path / "m.onnx")
    image = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_array_equal(run_onnx(tmp_path / "m.onnx", {"image": image}), (image + 2) * (image * 3))


def test_a_graph_of_a_thousand_layers_is_ordered(tmp_path: Path) -> None:
    model = diamond([0, 1, 2])
    chain = [helper.make_node("Relu", ["logits" if n == 0 else f"r{n}"], [f"r{n + 1}"]) for n in range(3000)]
    model.graph.node.extend(reversed(chain))
    model.graph.output[0].name = "r3000"
    order_by_use(model)

    made = {"image"} | {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        assert made.issuperset(node.input)
        made.update(node.output)
    assert "r3000" in made


def test_a_damaged_file_is_one_line(fp32: Path, tmp_path: Path) -> None:
    content = saved(fp32, tmp_path / "m.ort")
    rng = np.random.default_rng(0)
    damaged = [b"", b"no model", content[:100], content[: len(content) // 2], bytes(len(content))]
    for _ in range(100):
        changed = bytearray(content)
        for place in rng.integers(0, 1500, 8):  # where the tables are
            changed[place] = rng.integers(256)
        damaged.append(bytes(changed))
    told = []
    for each in damaged:
        (tmp_path / "damaged.ort").write_bytes(each)
        for attempt in (lambda: operators_of([tmp_path / "damaged.ort"]), functools.partial(canonical, each)):
            try:
                attempt()
            except StageError as error:
                told.append(str(error))
    assert len(told) > 50
    assert {len(each.splitlines()) for each in told} == {1}
