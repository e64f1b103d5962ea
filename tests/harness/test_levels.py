"""The same file under every level of graph optimisation, on the installed runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.agent.options import OPTIMISATION
from edgekd.devices.local import Local
from edgekd.harness.answers import predict
from edgekd.harness.levels import replay
from edgekd.harness.subject import Feeds, Subject
from edgekd.progress import Silent
from edgekd.records.runtime import LEVELS, RuntimeSettings
from edgekd.release.agreement import agreement

make = helper.make_node
HERE = Local(use="local")


def save(path: Path, nodes: list[onnx.NodeProto], tensors: dict[str, NDArray[Any]], width: int, outputs: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def half_way(path: Path) -> Feeds:
    """A product whose sums lie half-way between two of the 256 values that it is rounded to: computed in float, 0.1
    that is none tips them to one side. Returns what to feed it."""
    rng = np.random.default_rng(0)
    nodes = [
        make("QuantizeLinear", ["x", "s", "z"], ["q"]),
        make("DequantizeLinear", ["q", "s", "z"], ["d"]),
        make("DequantizeLinear", ["w", "s", "zw"], ["dw"]),
        make("MatMul", ["d", "dw"], ["m"]),
        make("QuantizeLinear", ["m", "sy", "z"], ["qm"]),
        make("DequantizeLinear", ["qm", "sy", "z"], ["logits"]),
    ]
    tensors: dict[str, NDArray[Any]] = {
        "w": rng.integers(-5, 6, size=(8, 3)).astype(np.int8),
        "s": np.array(0.1, np.float32),
        "sy": np.array(0.02, np.float32),
        "z": np.array(128, np.uint8),
        "zw": np.array(0, np.int8),
    }
    save(path, nodes, tensors, 8, 3)
    return {"x": (rng.integers(-5, 6, size=(400, 8)) * 0.1).astype(np.float32)}


def test_samples_that_another_level_answers_otherwise_are_found_with_their_margin(tmp_path: Path) -> None:
    feeds = half_way(tmp_path / "m.onnx")
    subject = Subject(tmp_path / "m.onnx")
    given = predict(HERE, RuntimeSettings(), {"m": subject}, feeds, Silent())["m"]
    found = replay(HERE, RuntimeSettings(), "m", subject, feeds, Silent())

    assert list(found.logits) == ["none", "basic", "extended", "layout"]
    assert found.refused == {}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"x": feeds["x"][n : n + 1]})[0] for n in range(400)]
    np.testing.assert_array_equal(found.logits["none"], np.concatenate(rows))

    told = agreement("all", given, found.logits["none"])
    differing = np.flatnonzero(given.argmax(axis=1) != found.logits["none"].argmax(axis=1))
    assert told.flipped == len(differing) > 0
    assert {each.sample for each in told.flips} <= set(differing.tolist())
    # what flips is a tie, or one step of the 256 apart
    assert all(each.margin <= 0.021 for each in told.flips)
    assert all(each.found_margin is not None and each.found_margin <= 0.021 for each in told.flips)


def reshaped_weights(path: Path, *, per_channel: bool, constants: bool) -> None:
    """int8 weights behind DequantizeLinear and Reshape.

    Source: https://github.com/microsoft/onnxruntime/issues/28491, where full optimisation made their negative values 0.
    """
    weights = np.array([12, -45, 7, -3], np.int8)
    tensors: dict[str, NDArray[Any]] = {
        "w": weights,
        "s": np.full(4, 0.02, np.float32) if per_channel else np.array(0.02, np.float32),
        "shape": np.array([2, 2], np.int64),
    }
    nodes = [
        make("DequantizeLinear", ["w", "s"], ["d"], axis=0),
        make("Reshape", ["d", "shape"], ["r"]),
        make("MatMul", ["x", "r"], ["logits"]),
    ]
    if constants:
        nodes = [make("Constant", [], [key], value=numpy_helper.from_array(v)) for key, v in tensors.items()] + nodes
    save(path, nodes, {} if constants else tensors, 2, 2)


@pytest.mark.parametrize("session", [{}, {"session.disable_quant_qdq": "1"}])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("constants", [False, True])
def test_reshaped_8_bit_weights_keep_their_signs_under_every_level_or_it_is_seen(
    constants: bool, per_channel: bool, session: dict[str, str], tmp_path: Path
) -> None:
    reshaped_weights(tmp_path / "m.onnx", per_channel=per_channel, constants=constants)
    x = np.eye(2, dtype=np.float32)
    expected = np.array([[0.24, -0.9], [0.14, -0.06]], np.float32)
    for level in LEVELS:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, OPTIMISATION[level])
        for key, value in session.items():
            options.add_session_config_entry(key, value)
        runtime = onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
        (logits,) = runtime.run(None, {"x": x})
        told = agreement("expected", expected, logits)
        # a runtime with the bug: [[0.24, 0], [0.14, 0]]
        assert (told.largest_difference < 1e-6) == np.allclose(logits, expected), level
        assert np.allclose(logits, expected), level


def test_a_level_under_which_the_file_does_not_run_is_told_in_one_line(tmp_path: Path) -> None:
    feeds = half_way(tmp_path / "m.onnx")
    subject = Subject(tmp_path / "m.onnx", session={"k" * 2000: "1"})  # no runtime takes an entry of this length
    found = replay(HERE, RuntimeSettings(), "m", subject, feeds, Silent())

    assert found.logits == {}
    assert set(found.refused) == {"none", "basic", "extended", "layout"}
    assert all(each.startswith("m: ") and "\n" not in each for each in found.refused.values())
