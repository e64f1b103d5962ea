"""Damaged ONNX files through the commands that run them: whatever ONNX Runtime does with one, the command ends in one
line and a documented exit code, and goes down with none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import EdgekdError
from tests.fuzz.apart import REPOSITORY, run_apart
from tests.fuzz.mutations import damaged_bytes
from tests.fuzz.place import Area, Draw, Place, WrongError

PATIENCE_S = 240
CODES = (0, 1, 2, 3, 4)
ODD = [0, -1, 1, 2, 3, 7, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63), -2]
OPERATORS = [
    "Relu", "Loop", "If", "Conv", "Concat", "Reshape", "Resize", "LSTM", "Einsum", "TopK", "Tile", "Expand", "OneHot",
    "Range", "Gather", "GatherND", "ScatterND", "NonZero", "MaxUnpool", "RoiAlign", "Div", "Mod", "DepthToSpace",
    "ConstantOfShape", "Gemm", "SequenceAt", "Compress", "Unique", "GridSample",
]  # fmt: skip


def honest(folder: Path) -> None:
    """Convolutions, pooling, products, and control flow: image (N, 3, 12, 12) to logits (N, 5)."""
    generator, node = np.random.default_rng(0), helper.make_node
    floats = {"w": (8, 3, 3, 3), "b": (8,), "w2": (8, 1, 3, 3), "wt": (8, 4, 2, 2), "m": (4, 5), "bias": (5,)}
    whole = {"shape": [0, -1], "picked": [0, 1, 2, 3], "two": [2], "pads": [0, 0, 1, 1, 0, 0, 1, 1], "reps": [1, 1]}
    value = helper.make_tensor_value_info
    step = helper.make_graph(
        [node("Identity", ["go"], ["go_on"]), node("Identity", ["s"], ["s_on"])],
        "step",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("s", TensorProto.FLOAT, None)],
        [value("go_on", TensorProto.BOOL, []), value("s_on", TensorProto.FLOAT, None)],
    )
    branches = {
        name: helper.make_graph([node(kind, ["l"], [name])], name, [], [value(name, TensorProto.FLOAT, None)])
        for name, kind in (("then_branch", "Identity"), ("else_branch", "Neg"))
    }
    ones: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    nodes = [
        node("Conv", ["image", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1], group=1),
        node("Relu", ["c"], ["r"]),
        node("Pad", ["r", "pads"], ["p"]),
        node("MaxPool", ["p"], ["mp"], **ones),
        node("Conv", ["mp", "w2"], ["c2"], group=8),
        node("AveragePool", ["c2"], ["ap"], **ones),
        node("ConvTranspose", ["ap", "wt"], ["ct"], strides=[2, 2], output_padding=[0, 0]),
        node("GlobalAveragePool", ["ct"], ["g"]),
        node("Reshape", ["g", "shape"], ["f"]),
        node("Gather", ["f", "picked"], ["ga"], axis=1),
        node("Tile", ["ga", "reps"], ["t"]),
        node("Div", ["two", "two"], ["one"]),
        node("Cast", ["one"], ["factor"], to=TensorProto.FLOAT),
        node("Mul", ["t", "factor"], ["u"]),
        node("Gemm", ["u", "m", "bias"], ["e"], alpha=1.0, beta=1.0, transA=0, transB=0),
        node("Loop", ["trips", "yes", "e"], ["l"], body=step),
        node("If", ["yes"], ["logits"], **branches),
    ]
    tensors = [numpy_helper.from_array(generator.normal(size=s).astype(np.float32), n) for n, s in floats.items()]
    tensors += [numpy_helper.from_array(np.array(values), name) for name, values in whole.items()]
    tensors += [numpy_helper.from_array(np.array(2), "trips"), numpy_helper.from_array(np.array(1, bool), "yes")]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("image", TensorProto.FLOAT, ["N", 3, 12, 12])],
        [value("logits", TensorProto.FLOAT, ["N", 5])],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx")
    np.save(folder / "data.npy", generator.normal(size=(24, 3, 12, 12)).astype(np.float32))


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def damaged(draw: Draw, content: bytes) -> bytes:
    """The model with numbers, wires, operators and types exchanged, so that most still load."""
    model = onnx.load_from_string(content)
    for _ in range(draw(st.integers(1, 2))):
        graph = draw(st.sampled_from(list(graphs(model.graph))))
        node, odd = draw(st.sampled_from(list(graph.node))), draw(st.sampled_from(ODD))
        tensor = draw(st.sampled_from(list(model.graph.initializer)))
        kind = draw(
            st.sampled_from(["attribute", "attribute", "number", "number", "dims", "type", "shape", "wire", "op"])
        )
        if kind == "attribute":
            attribute = draw(st.sampled_from([a for g in graphs(model.graph) for n in g.node for a in n.attribute]))
            if attribute.ints:
                attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] = odd
            elif attribute.type == onnx.AttributeProto.INT:
                attribute.i = odd
        elif kind == "number" and tensor.data_type == TensorProto.INT64:
            values = numpy_helper.to_array(tensor).copy()
            values.flat[draw(st.integers(0, values.size - 1))] = odd
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        elif kind == "dims" and tensor.dims:
            tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = odd
        elif kind == "type":
            tensor.data_type = draw(st.integers(0, 24))
        elif kind == "shape":
            value = draw(st.sampled_from([*model.graph.input, *model.graph.output]))
            value.type.tensor_type.shape.dim[draw(st.integers(0, 1))].dim_value = odd
        elif kind == "wire" and node.input:
            made = [name for each in graph.node for name in each.output]  # later ones too: a circle
            node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from([*made, tensor.name, ""]))
        elif kind == "op":
            node.op_type = draw(st.sampled_from(OPERATORS))
    return bytes(model.SerializeToString())


def foreign_models(draw: Draw, place: Place) -> None:
    folder, temporary = place.inside / "work", place.inside / "temporary"
    for each in (folder, temporary):
        each.mkdir()
    content = (place.honest / "m.onnx").read_bytes()
    path = folder / "m.onnx"
    path.write_bytes(draw(damaged_bytes(content)) if draw(st.integers(0, 3)) == 0 else damaged(draw, content))
    data = str(place.honest / "data.npy")
    command = draw(st.sampled_from(["quantize", "quantize", "bench", "check"]))
    arguments = {
        "quantize": ["quantize", "m.onnx", "--calibration", data, "--seconds", "0.5", "--no-repair", "--out", "o"],
        "bench": ["bench", "m.onnx", "--seconds", "0.5"],
        "check": ["check", "m.onnx", "--target", "here.yaml", "--seconds", "0.5"],
    }[command]
    (folder / "here.yaml").write_text("name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\n")
    environment = {
        **os.environ,
        "EDGEKD_STORE": str(place.inside / "store"),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(REPOSITORY),
    }
    (ended,) = run_apart([arguments], folder, place.inside / "said", environment, PATIENCE_S)
    if ended.code not in CODES or "Traceback" in ended.errors:
        kept = Path(os.environ.get("EDGEKD_FUZZ_KEEP", temporary)) / f"{command}-{abs(hash(content)):x}.onnx"
        kept.write_bytes(path.read_bytes())
        raise WrongError(f"{command}: exit code {ended.code}: {ended.errors[-300:]}")
    if left := sorted(each.name for each in temporary.iterdir() if each.name != ".ses"):  # ONNX Runtime's own
        raise WrongError(f"{command}: in the folder for temporary files there is left: {left}")
    if ended.code:
        raise EdgekdError(ended.errors.strip().rpartition("\n")[2])


AREA = Area("foreign models", foreign_models, honest, longest_s=2 * PATIENCE_S, tried=10)
