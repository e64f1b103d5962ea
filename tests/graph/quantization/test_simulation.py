"""A network in torch that rounds where its 8-bit file does, held against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import MODELS
from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError, StageError
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.calibrate import Calibration
from edgekd.graph.quantization.overflow import sums_overflow_here
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.quantization.simulation import Ingredients, arithmetic_of, with_own_biases
from edgekd.graph.quantization.static import Numbers, Type, calibrated, prepared
from edgekd.graph.runtime import run_onnx
from edgekd.models.base import Model
from edgekd.models.eight_bits.network import EightBitNetwork

from ..conftest import Digits, learn
from .conftest import save_graph

FORMS = (
    Numbers("int8_qdq", "qdq", per_channel=True, reduce_range=False, activations="uint8", weights="int8"),
    Numbers("int8_qdq", "qdq", per_channel=False, reduce_range=True, activations="int8", weights="int8"),
    Numbers("int8_qoperator", "qoperator", per_channel=True, reduce_range=True, activations="uint8", weights="int8"),
    Numbers("int8_qoperator", "qoperator", per_channel=False, reduce_range=False, activations="uint8", weights="int8"),
)
SMALL: dict[str, dict[str, Any]] = {"resnet": {"width": 8}, "ds_resnet": {"width": 8}}


def made_of(fp32: Path, feeds: Feeds, numbers: Numbers, floating: tuple[str, ...] = ()) -> Ingredients:
    model = prepared(fp32, numbers.scheme)
    ranges = calibrated(model, feeds, Calibration("mse"), numbers.scheme)
    return with_own_biases(Ingredients(model, ranges, numbers, floating))


def simulated(network: EightBitNetwork, feeds: Feeds) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network.eval()(*map(torch.from_numpy, feeds.values())).numpy()
    return logits


def disturbed(network: EightBitNetwork) -> EightBitNetwork:
    """With other weights, biases and ranges, as training leaves them."""
    torch.manual_seed(0)
    with torch.no_grad():
        for each in network.parameters():
            noise = torch.randn_like(each)
            each.add_(0.005 * noise if each is network.stretch else 0.03 * each.abs().mean() * noise)
    return network


def check_same(network: EightBitNetwork, content: bytes, path: Path, feeds: Feeds) -> None:
    """A sum that lies just between two levels may be rounded to either, which moves the logits a little; all others are
    the same."""
    path.write_bytes(content)
    expected, given = run_onnx(path, feeds), simulated(network, feeds)
    differences = np.abs(given - expected).max(axis=1)
    assert np.mean(differences > 1e-4 * expected.std()) < 0.01
    assert differences.max() < 0.1 * expected.std()
    assert np.mean(given.argmax(axis=1) == expected.argmax(axis=1)) >= 0.9995


@pytest.mark.parametrize("numbers", FORMS, ids=lambda each: f"{each.form}-{each.activations}-{each.per_channel}")
def test_the_simulation_gives_the_logits_of_the_file(
    numbers: Numbers, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    if sums_overflow_here() and not numbers.reduce_range:
        pytest.skip("the 8-bit sums of this processor overflow")
    ingredients = made_of(fp32, {"image": digits.train["image"][:128]}, numbers)
    network = EightBitNetwork(arithmetic_of(ingredients))
    feeds = {"image": digits.inputs}

    check_same(network, ingredients.file(), tmp_path / "before.onnx", feeds)
    disturbed(network)
    learned = ingredients.learned(network.constants(), network.ranges())
    check_same(network, learned.file(), tmp_path / "after.onnx", feeds)


@pytest.mark.parametrize("family", ["mlp", "resnet", "ds_resnet"])
def test_networks_of_other_forms_are_simulated(family: str, digits: Digits, tmp_path: Path) -> None:
    component = component_class(MODELS, family).model_validate({"use": family, **SMALL.get(family, {})})
    torch.manual_seed(0)
    module = learn(cast("Model", component).build(digits.contract), digits.train, digits.labels[:-500], epochs=2)
    export_onnx(module, digits.contract, tmp_path / "fp32.onnx", ExportOptions())
    numbers = Numbers("int8_qdq", "qdq", per_channel=True, reduce_range=True, activations="uint8", weights="int8")
    ingredients = made_of(tmp_path / "fp32.onnx", {"image": digits.train["image"][:128]}, numbers)
    network = EightBitNetwork(arithmetic_of(ingredients))

    check_same(network, ingredients.file(), tmp_path / "int8.onnx", {"image": digits.inputs})


OTHERS: dict[str, tuple[list[Any], tuple[int | str, ...]]] = {
    "a leaky relu, a pool and uneven padding": (
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 0, 2, 1], strides=[2, 2], kernel_shape=[3, 3]),
            helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.1),
            helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], strides=[1, 1]),
            helper.make_node("Flatten", ["c"], ["e"]),
            helper.make_node("MatMul", ["e", "m"], ["f"]),
            helper.make_node("Add", ["f", "v"], ["logits"]),
        ],
        ("batch", 6),
    ),
    "average pooling": (
        [
            helper.make_node("Conv", ["x", "w", "b3"], ["a"], kernel_shape=[3, 3]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("AveragePool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Flatten", ["c"], ["d"]),
            helper.make_node("Gemm", ["d", "p"], ["logits"]),
        ],
        ("batch", 6),
    ),
    "a clip, a product and a concatenation": (
        [
            helper.make_node("Conv", ["x", "w", "b3"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
            helper.make_node("Clip", ["a", "low", "high"], ["b"]),
            helper.make_node("GlobalAveragePool", ["b"], ["c"]),
            helper.make_node("Sigmoid", ["c"], ["d"]),
            helper.make_node("Mul", ["b", "d"], ["e"]),
            helper.make_node("Concat", ["e", "a"], ["f"], axis=1),
            helper.make_node("GlobalAveragePool", ["f"], ["g"]),
            helper.make_node("Reshape", ["g", "shape"], ["h"]),
            helper.make_node("Gemm", ["h", "n", "b6"], ["logits"], transB=1),
        ],
        ("batch", 6),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_operators_are_simulated(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes, output = OTHERS[name]
    constants: dict[str, NDArray[Any]] = {
        "w": rng.normal(size=(4, 2, 3, 3)),
        "b3": rng.normal(size=4),
        "m": rng.normal(size=(120, 6)),
        "p": rng.normal(size=(36, 6)),
        "v": rng.normal(size=6),
        "n": rng.normal(size=(6, 8)),
        "b6": rng.normal(size=6),
        "low": np.array(-1.5),
        "high": np.array(3.0),
    }
    floats = {each: np.asarray(array, np.float32) for each, array in constants.items()}
    read = {each for node in nodes for each in node.input}
    tensors: dict[str, Any] = {each: array for each, array in floats.items() if each in read}
    if "shape" in read:
        tensors["shape"] = np.array([0, 8], np.int64)
    fp32 = save_graph(tmp_path / "fp32.onnx", nodes, tensors, {"x": ("batch", 2, 8, 8)}, output)
    feeds = {"x": rng.normal(size=(400, 2, 8, 8)).astype(np.float32)}
    numbers = Numbers("int8_qdq", "qdq", per_channel=True, reduce_range=True, activations="uint8", weights="int8")
    ingredients = made_of(fp32, {"x": feeds["x"][:100]}, numbers)

    check_same(EightBitNetwork(arithmetic_of(ingredients)), ingredients.file(), tmp_path / "int8.onnx", feeds)


def test_layers_that_stay_in_float_are_learned_and_not_rounded(fp32: Path, digits: Digits, tmp_path: Path) -> None:
    name = prepared(fp32, "int8_qdq").graph.node[0].name
    activations: Type = "uint8"
    numbers = Numbers("int8_qdq", "qdq", True, True, activations, "int8")
    ingredients = made_of(fp32, {"image": digits.train["image"][:128]}, numbers, floating=(name,))
    arithmetic = arithmetic_of(ingredients)
    network = EightBitNetwork(arithmetic)

    assert len(arithmetic.learned) == 8  # four layers, each with a bias
    assert len(arithmetic.weights) == len(arithmetic.biases) == 3
    disturbed(network)
    learned = ingredients.learned(network.constants(), network.ranges())
    check_same(network, learned.file(), tmp_path / "int8.onnx", {"image": digits.inputs})


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "m"], ["logits"]),
    ]
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(size=(2, 2, 2, 2)), "m": rng.normal(size=(50, 3))}
    floats = {name: array.astype(np.float32) for name, array in tensors.items()}
    fp32 = save_graph(tmp_path / "fp32.onnx", nodes, floats, {"x": ("batch", 2, 4, 4)}, ("batch", 3))
    feeds = {"x": rng.normal(size=(20, 2, 4, 4)).astype(np.float32)}

    with pytest.raises(StageError, match="ConvTranspose is not simulated"):
        EightBitNetwork(arithmetic_of(made_of(fp32, feeds, FORMS[0])))


def test_a_file_alone_cannot_be_trained(fp32: Path, digits: Digits) -> None:
    scheme = Int8Qdq.model_validate({"use": "int8_qdq", "finetune": 3})

    with pytest.raises(ConfigError, match="needs the samples and teachers of a pipeline"):
        scheme.apply(fp32, digits.train, {})
