"""Contracts, data and ONNX files that teachers are asked with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.data.modalities.base import Feeds
from edgekd.records.contract import InputSpec, ModelContract

SHAPE = (2, 3, 3)
CLASSES = 4
CONTRACT = ModelContract(
    modality="image",
    inputs=(InputSpec(name="image", shape=SHAPE),),
    classes=tuple(map(str, range(CLASSES))),
)
WEIGHT = np.random.default_rng(0).normal(size=(18, CLASSES)).astype(np.float32)


def feeds(count: int = 5) -> Feeds:
    return {"image": np.random.default_rng(1).normal(size=(count, *SHAPE)).astype(np.float32)}


def expected(given: Feeds) -> NDArray[np.float32]:
    """What the teachers of these tests answer."""
    answer: NDArray[np.float32] = given["image"].reshape(len(given["image"]), -1) @ WEIGHT
    return answer


def write_onnx(
    path: Path,
    *,
    inputs: Sequence[tuple[str, int, Sequence[int | str]]] = (("x", TensorProto.FLOAT, ("N", *SHAPE)),),
    outputs: Sequence[str] = ("y",),
    last: str = "Identity",
    weight: NDArray[np.float32] = WEIGHT,
    external: str | None = None,
) -> Path:
    """A linear layer as an ONNX file; every input is added to the first, every output is the same."""
    batch = inputs[0][2][0]
    nodes = [
        helper.make_node("Add", [inputs[0][0], inputs[-1][0]], ["twice"])
        if len(inputs) > 1
        else helper.make_node("Identity", [inputs[0][0]], ["twice"]),
        helper.make_node("Cast", ["twice"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
        *(helper.make_node(last, ["scores"], [name]) for name in outputs),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, weight.shape[1])) for name in outputs],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if external is None:
        onnx.save(model, path)
    else:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=0)
    return path


@pytest.fixture
def linear_onnx(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "teacher.onnx")
