from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.equalise import absorbed, equalised, pairs_of
from edgekd.graph.quantization.layers import by_channels, layers_of
from edgekd.graph.quantization.static import prepared
from edgekd.graph.runtime import run_onnx

from ..conftest import contract_of, random_feeds
from .conftest import save_graph


def separable(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        activation(),
        nn.Conv2d(6, 6, 3, padding=1, stride=2, groups=6),
        activation(),
        nn.Conv2d(6, 8, 1),
        activation(),
    )


def headed(body: nn.Module, *, pooled: bool) -> nn.Module:
    return nn.Sequential(
        body, nn.AdaptiveAvgPool2d(1 if pooled else 4), nn.Flatten(), nn.Linear(8 if pooled else 128, 5)
    )


NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    "depthwise, pooled": (headed(separable(nn.ReLU), pooled=True), (2, 8, 8), 3),
    "depthwise, flattened": (headed(separable(nn.ReLU), pooled=False), (2, 8, 8), 3),
    "leaky": (headed(separable(nn.LeakyReLU), pooled=True), (2, 8, 8), 3),
    "clipped": (headed(separable(nn.ReLU6), pooled=True), (2, 8, 8), 0),
    "max pooling": (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten()),
        (1, 8, 8),
        1,
    ),
    "groups": (
        nn.Sequential(nn.Conv2d(4, 8, 1, groups=2), nn.ReLU(), nn.Conv2d(8, 4, 3, groups=4), nn.Flatten()),
        (4, 3, 3),
        1,
    ),
    "perceptron": (nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3)), (6,), 2),
}


def exported(network: nn.Module, shape: tuple[int, ...], path: Path) -> tuple[onnx.ModelProto, Feeds]:
    """The prepared model of a network whose channels differ a thousandfold, and what it is fed."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                sizes = 10 ** (3 * torch.rand(len(module.weight)) - 1.5)
                module.weight *= sizes.reshape(-1, *[1] * (module.weight.dim() - 1))
        classes = network(torch.zeros(2, *shape)).shape[1]
    contract = contract_of(classes, x=shape)
    export_onnx(network, contract, path, ExportOptions())
    return prepared(path, "x"), random_feeds(contract, 64)


def answers(model: onnx.ModelProto, feeds: Feeds, path: Path) -> NDArray[np.float32]:
    onnx.save(model, path)
    return run_onnx(path, feeds)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_fp32_network_computes_the_same_but_for_rounding(name: str, tmp_path: Path) -> None:
    network, shape, pairs = NETWORKS[name]
    model, feeds = exported(network, shape, tmp_path / "m.onnx")
    assert len(pairs_of(model)) == pairs

    result = equalised(model)

    if not pairs:
        assert result is None, "a Clip is where it was, whatever its channel becomes"
        return
    assert result is not None
    before = answers(model, feeds, tmp_path / "before.onnx")
    after = answers(result, feeds, tmp_path / "after.onnx")
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())
    first = layers_of(model)[0]
    assert not np.array_equal(by_channels(model, first), by_channels(result, first))


def test_afterwards_a_channel_is_as_large_where_it_is_written_as_where_it_is_read(tmp_path: Path) -> None:
    network, shape, _ = NETWORKS["depthwise, pooled"]
    model, _ = exported(network, shape, tmp_path / "m.onnx")
    result = equalised(model)
    assert result is not None

    for pair in pairs_of(result):
        written = np.abs(by_channels(result, pair.first)).max(axis=(2, 3)).reshape(-1)
        read = np.abs(by_channels(result, pair.second)).max(axis=(1, 3)).reshape(-1)
        np.testing.assert_allclose(written, read, rtol=0.01)


def test_channels_of_zeros_are_left_alone(tmp_path: Path) -> None:
    first, last = nn.Linear(4, 3), nn.Linear(3, 2)
    network = nn.Sequential(first, nn.ReLU(), last)
    torch.manual_seed(0)
    with torch.no_grad():
        first.weight[1] = 0
        last.weight[:, 2] = 0
    contract = contract_of(2, x=(4,))
    export_onnx(network, contract, tmp_path / "m.onnx", ExportOptions())
    feeds = random_feeds(contract, 16)
    result = equalised(prepared(tmp_path / "m.onnx", "x"))

    assert result is not None
    np.testing.assert_allclose(
        answers(result, feeds, tmp_path / "after.onnx"), run_onnx(tmp_path / "m.onnx", feeds), atol=1e-6
    )


def branches(path: Path, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    tensors: dict[str, NDArray[Any]] = {"v": np.eye(4, dtype=np.float32), "w": 2 * np.eye(4, dtype=np.float32)}
    save_graph(path, nodes, tensors, {"x": ("batch", 4)}, ("batch", 4))
    return prepared(path, "x")


def test_what_two_operators_read_is_not_rescaled(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["logits"]),
    ]
    assert pairs_of(branches(tmp_path / "m.onnx", nodes)) == []


def test_weights_that_two_layers_share_are_not_rescaled(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["logits"]),
    ]
    assert pairs_of(branches(tmp_path / "m.onnx", nodes)) == []


def test_a_bias_that_two_layers_share_is_rescaled_for_each_of_them(tmp_path: Path) -> None:
    bias = np.array([1, 2, 3, 4], np.float32)
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4)).astype(np.float32) * (1 + 9 * rng.random((1, 4))) for name in "uvw"}
    nodes = [
        helper.make_node("Gemm", ["x", "u", "c"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "v", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "w", "c"], ["logits"]),
    ]
    tensors: dict[str, NDArray[Any]] = {name: array.astype(np.float32) for name, array in weights.items()}
    save_graph(tmp_path / "m.onnx", nodes, {**tensors, "c": bias}, {"x": ("batch", 4)}, ("batch", 4))
    feeds = {"x": rng.normal(size=(32, 4)).astype(np.float32)}
    result = equalised(prepared(tmp_path / "m.onnx", "x"))

    assert result is not None
    expected = run_onnx(tmp_path / "m.onnx", feeds)
    np.testing.assert_allclose(answers(result, feeds, tmp_path / "a.onnx"), expected, rtol=1e-4, atol=1e-3)


def test_what_a_channel_always_has_moves_into_the_next_bias(tmp_path: Path) -> None:
    first, last = nn.Linear(4, 3), nn.Linear(3, 2)
    network = nn.Sequential(first, nn.ReLU(), last)
    torch.manual_seed(0)
    with torch.no_grad():
        first.bias.copy_(torch.tensor([20.0, 0.0, -20.0]))
    contract = contract_of(2, x=(4,))
    export_onnx(network, contract, tmp_path / "m.onnx", ExportOptions())
    model, feeds = prepared(tmp_path / "m.onnx", "x"), random_feeds(contract, 64)
    result = absorbed(model, feeds)

    assert result is not None
    with torch.no_grad():
        given = first(torch.from_numpy(feeds["x"])).numpy().astype(np.float64)
    always = max(0.0, float(given[:, 0].mean() - 3 * given[:, 0].std()))
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in result.graph.initializer}
    bias = stored[str(layers_of(result)[0].bias)]
    np.testing.assert_allclose(bias, [20 - always, 0, -20], atol=1e-4)
    np.testing.assert_allclose(
        answers(result, feeds, tmp_path / "after.onnx"), run_onnx(tmp_path / "m.onnx", feeds), atol=1e-4
    )


def test_nothing_is_absorbed_into_a_layer_that_pads(tmp_path: Path) -> None:
    network, shape, _ = NETWORKS["max pooling"]
    model, feeds = exported(network, shape, tmp_path / "m.onnx")
    assert absorbed(model, feeds) is None
