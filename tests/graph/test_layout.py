"""Which widths make the runtime leave its blocks of channels: found out by loading both, never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.devices.local import Local
from edgekd.graph.layout import BLOCKED, layout_of, with_multiples
from edgekd.harness.optimising import Wanted, optimise
from edgekd.harness.subject import Subject
from edgekd.models.base import Model
from edgekd.models.conv import ConvStack
from edgekd.records.layout import LayoutRecord, OddWidth
from edgekd.records.runtime import RuntimeSettings
from edgekd.report.layout import told_widths

from .test_padding import exported, graph_with


def looked_at(fp32: Path, folder: Path) -> LayoutRecord:
    filled = with_multiples(fp32, folder)
    files = {"fp32": fp32, **{str(multiple): path for multiple, path in filled.items()}}
    graphs = {name: folder / f"made-of-{name}.onnx" for name in files}
    wanted = {path: Wanted(name, "all", "ONNX") for name, path in graphs.items()}
    optimise(Local(use="local"), RuntimeSettings(), {name: Subject(path) for name, path in files.items()}, wanted)
    return layout_of(fp32, graphs["fp32"], {multiple: graphs[str(multiple)] for multiple in filled})


def stack(width: int, growth: float = 1.0) -> Model:
    return ConvStack(use="conv", width=width, growth=growth, stages=2, depth=2)


def test_odd_widths_are_named_where_the_runtime_computes_in_blocks(tmp_path: Path) -> None:
    found = looked_at(exported(stack(6), tmp_path / "m.onnx"), tmp_path)
    if not found.blocks:
        pytest.skip("this processor's kernels have no blocks of channels")

    assert found.reorders + found.outside > (found.least_reorders or 0) + (found.least_outside or 0)
    assert found.multiple in (4, 8, 16)
    assert {each.channels for each in found.odd} == {6}
    assert found.odd[0].convolution == 1
    first, second = told_widths(found, "here")
    assert "on here: convolution 1 of 6" in first
    assert f"student.model.aligned: {found.multiple}" in second


def test_widths_that_fit_are_not_spoken_of(tmp_path: Path) -> None:
    found = looked_at(exported(stack(16, 2.0), tmp_path / "m.onnx"), tmp_path)

    assert found.multiple is None
    assert list(told_widths(found, "here")) == []


def test_what_cannot_be_followed_gets_no_advice(tmp_path: Path) -> None:
    nodes = [helper.make_node("Softmax", ["c"], ["x"], axis=1), helper.make_node("Flatten", ["x"], ["logits"])]
    found = looked_at(graph_with(tmp_path / "m.onnx", nodes, {}), tmp_path)

    assert (found.multiple, found.odd) == (None, ())


def graph(path: Path, *nodes: onnx.NodeProto) -> Path:
    """What a runtime could have saved."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))
    weights = [numpy_helper.from_array(np.zeros((n, c, 3, 3), np.float32), f"w{n}") for n, c in ((5, 3), (7, 5))]
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, (1, None, None, None))]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(BLOCKED, 1)]
    made = helper.make_graph(list(nodes), "g", [image], outputs, weights)
    onnx.save(helper.make_model(made, opset_imports=opsets), path)
    return path


def test_changes_and_convolutions_outside_are_counted_by_hand_made_graphs(tmp_path: Path) -> None:
    fp32 = graph(
        tmp_path / "fp32.onnx",
        helper.make_node("Conv", ["image", "w5"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w7"], ["c"]),
    )
    now = graph(
        tmp_path / "now.onnx",
        helper.make_node("Conv", ["image", "w5"], ["b_blocked"], domain=BLOCKED),
        helper.make_node("ReorderOutput", ["b_blocked"], ["b"], domain=BLOCKED, channels=5),
        helper.make_node("FusedConv", ["b", "w7"], ["c"], domain="com.microsoft"),
    )
    then = graph(
        tmp_path / "then.onnx",
        helper.make_node("Conv", ["image", "w5"], ["b_blocked"], domain=BLOCKED),
        helper.make_node("Conv", ["b_blocked", "w7"], ["c_blocked"], domain=BLOCKED),
        helper.make_node("ReorderOutput", ["c_blocked"], ["c"], domain=BLOCKED, channels=7),
    )

    assert layout_of(fp32, now, {4: now, 8: then, 16: then}) == LayoutRecord(
        blocks=True,
        reorders=1,
        outside=1,
        multiple=8,
        least_reorders=1,
        least_outside=0,
        odd=(OddWidth(convolution=1, channels=5), OddWidth(convolution=2, channels=7)),
    )
    fused = helper.make_node("FusedConv", ["image", "w5"], ["c"], domain="com.microsoft")
    plain = graph(tmp_path / "plain.onnx", fused)
    assert layout_of(fp32, plain, {8: then}) == LayoutRecord(blocks=False, reorders=0, outside=1)
