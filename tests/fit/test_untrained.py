"""Untrained networks: described, exported and quantized as trained ones are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from pydantic import JsonValue

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import contract_for, fed_rows
from edgekd.errors import ConfigError
from edgekd.fit.shape import Network, model_of
from edgekd.fit.untrained import export_untrained, make_files, network_of, quick, untrained
from edgekd.graph.execution import execution
from edgekd.graph.export import export_onnx
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.padded import Padded
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.records.contract import ModelContract

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 1), np.uint8)
SHAPES: list[dict[str, JsonValue]] = [
    {"use": "conv", "width": 8, "stages": 2, "growth": 1.5, "stride": 2},
    {"use": "ds_cnn", "width": 16, "stages": 2},
    {"use": "ds_resnet", "stem": 8, "width": 24, "blocks": [1, 1]},
    {"use": "resnet", "width": 8, "stages": 2},
    {"use": "mlp", "width": 24, "depth": 2},
]
by_use = pytest.mark.parametrize("shape", SHAPES, ids=[str(each["use"]) for each in SHAPES])


@pytest.fixture(scope="module")
def contract() -> ModelContract:
    return contract_for("image", PIXELS, tuple("0123456789"))


def described(shape: Mapping[str, JsonValue], contract: ModelContract) -> Network:
    return network_of(untrained(model_of(shape, Path()), contract, 0), contract)


@by_use
def test_the_quick_export_is_what_ships_but_for_the_weights(
    shape: dict[str, JsonValue], contract: ModelContract, tmp_path: Path
) -> None:
    module = untrained(model_of(shape, Path()), contract, 0)
    fast, shipped = tmp_path / "fast.onnx", tmp_path / "shipped.onnx"
    export_untrained(module, contract, fast, ExportOptions())
    export_onnx(module, contract, shipped, ExportOptions())
    one, other = ([node.op_type for node in onnx.load(path).graph.node] for path in (fast, shipped))
    assert one == other
    assert execution(fast).operators == execution(shipped).operators
    assert abs(fast.stat().st_size - shipped.stat().st_size) < 8, "the name of a dimension"


@by_use
def test_multiplications_and_parameters_are_those_of_the_exported_file(
    shape: dict[str, JsonValue], contract: ModelContract, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    export_untrained(untrained(model_of(shape, Path()), contract, 0), contract, path, ExportOptions())
    network = described(shape, contract)
    assert network.macs == sum(execution(path).macs_of_file.values())
    assert network.parameters == describe(path).parameters


def test_operators_are_told_apart_with_their_amounts(contract: ModelContract) -> None:
    operations = described({"use": "ds_cnn", "width": 16, "stages": 1}, contract).operations
    assert [each.kind for each in operations] == ["conv", "depthwise", "pointwise", "mean", "linear"]
    first, depthwise, pointwise, _, head = operations
    assert (first.inputs, first.outputs, first.places, first.macs) == (1, 16, 256, 9 * 16 * 256)
    assert (depthwise.macs, depthwise.weights, depthwise.taken) == (9 * 16 * 256, 9 * 16, 16 * 256)
    assert (pointwise.macs, pointwise.weights, pointwise.given) == (16 * 16 * 256, 256, 16 * 256)
    assert (head.inputs, head.outputs, head.macs) == (16, 10, 160)


def test_additions_of_shortcuts_are_operators(contract: ModelContract) -> None:
    kinds = [each.kind for each in described(SHAPES[3], contract).operations]
    assert kinds.count("add") == 2


def test_files_of_one_seed_have_equal_bytes_and_equal_sizes_as_calibrated_ones(
    contract: ModelContract, tmp_path: Path
) -> None:
    feeds = fed_rows(contract, PIXELS)
    qdq = Int8Qdq(use="int8_qdq")
    schemes = {"quick": quick(qdq), "calibrated": qdq, "int8_weights": Int8Weights(use="int8_weights")}
    contents = []
    for name in ("a", "b"):
        module = untrained(model_of(SHAPES[0], Path()), contract, 0)
        files = make_files(module, contract, ExportOptions(), schemes, feeds, tmp_path / name)
        assert list(files) == list(schemes)
        made = {name: each for name, each in files.items() if not isinstance(each, str)}
        contents.append([(tmp_path / f"{name}.{each}.onnx").read_bytes() for each in schemes])
    assert contents[0] == contents[1]
    assert abs(len(contents[0][0]) - len(contents[0][1])) < 16
    assert made["quick"].execution.operators == made["calibrated"].execution.operators


def test_a_candidate_that_cannot_be_made_says_why_and_the_others_are_made(
    contract: ModelContract, tmp_path: Path
) -> None:
    schemes = {"padded": Padded(use="padded"), "int8_weights": Int8Weights(use="int8_weights")}
    module = untrained(model_of({"use": "conv", "width": 16, "stages": 1}, Path()), contract, 0)
    files = make_files(module, contract, ExportOptions(), schemes, fed_rows(contract, PIXELS), tmp_path / "a")
    assert "multiple of 16 already" in str(files["padded"])
    assert not isinstance(files["int8_weights"], str)


def test_a_shape_that_does_not_suit_the_input_is_refused(contract: ModelContract) -> None:
    with pytest.raises(ConfigError, match="to nothing"):
        described({"use": "conv", "stages": 6}, contract)
    with pytest.raises(ConfigError, match="unknown key"):
        model_of({"use": "conv", "widht": 8}, Path())
