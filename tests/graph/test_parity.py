from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from edgekd.data.modalities.base import Feeds
from edgekd.errors import StageError
from edgekd.graph.parity import check_parity
from edgekd.graph.runtime import run_onnx

from .conftest import Digits


def logits(module: nn.Module, feeds: Feeds) -> NDArray[np.float32]:
    with torch.no_grad():
        answers: NDArray[np.float32] = module(torch.from_numpy(feeds["image"])).numpy()
    return answers


def test_a_right_export_agrees_on_every_sample(network: nn.Module, digits: Digits, fp32: Path) -> None:
    parity = check_parity(logits(network, digits.held_out), run_onnx(fp32, digits.held_out))

    assert parity.samples == 500
    assert parity.flipped == 0
    assert 0 <= parity.max_abs_difference < 1e-4


def test_batch_norms_that_use_the_batch_are_caught(network: nn.Module, digits: Digits, fp32: Path) -> None:
    # momentum 0 keeps the network itself as it was
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        in_training_mode = logits(network.train(), digits.held_out)
    finally:
        network.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    with pytest.raises(StageError, match=r"differs from the torch model by .* on sample \d+ .* predictions flip"):
        check_parity(in_training_mode, run_onnx(fp32, digits.held_out))


def test_one_wrong_weight_is_caught_and_the_worst_sample_named(
    network: nn.Module, digits: Digits, fp32: Path, tmp_path: Path
) -> None:
    model = onnx.load(fp32)
    tensor = next(each for each in model.graph.initializer if list(each.dims) == [16, 16, 3, 3])
    weights = numpy_helper.to_array(tensor).copy()
    weights[3, 5, 1, 1] += 0.1
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    expected, actual = logits(network, digits.held_out), run_onnx(tmp_path / "wrong.onnx", digits.held_out)
    worst = int(np.abs(expected - actual).max(axis=1).argmax())

    with pytest.raises(StageError, match=rf"on sample {worst} "):
        check_parity(expected, actual)


def test_not_a_number_names_the_first_sample() -> None:
    good = np.zeros((4, 3), np.float32)
    bad = good.copy()
    bad[2, 1] = np.nan

    with pytest.raises(StageError, match=r"the exported model's logits are not finite for 1 of 4 samples.* sample 2"):
        check_parity(good, bad)


def test_the_tolerance_follows_the_range_of_the_logits() -> None:
    expected = np.array([[0, 1000], [1000, 0]], np.float32)

    assert check_parity(expected, expected + 0.5).max_abs_difference == 0.5
    with pytest.raises(StageError):
        check_parity(expected / 1000, expected / 1000 + 0.5)  # type: ignore[arg-type]  # it stays float32


def test_other_shapes_are_refused() -> None:
    with pytest.raises(StageError, match=r"\(2, 3\).*\(2, 4\)"):
        check_parity(np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float32))
